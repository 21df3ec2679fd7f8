"""The GPUs that a worker may use, as NVML sees them; it never touches CUDA."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any


def gpu_facts(environment: Mapping[str, str] = os.environ) -> Sequence[dict[str, Any]]:
    """Name, memory, use and temperature of each visible GPU; empty without GPUs or without their driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_facts(pynvml, handle) for handle in _handles(pynvml, environment)]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def visible_gpus(environment: Mapping[str, str] = os.environ) -> Sequence[str]:
    """What `CUDA_VISIBLE_DEVICES` has to be for each GPU: its UUID."""
    return [str(facts["uuid"]) for facts in gpu_facts(environment)]


def _handles(nvml: Any, environment: Mapping[str, str]) -> list[Any]:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    handles = []
    for word in (word.strip() for word in visible.split(",")):
        if word.isdecimal():
            handles.append(nvml.nvmlDeviceGetHandleByIndex(int(word)))
        elif word.startswith(("GPU-", "MIG-")):
            handles.append(nvml.nvmlDeviceGetHandleByUUID(word))
        else:
            break  # as CUDA does: what comes after the first unknown word is not visible
    return handles


def _facts(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    facts: dict[str, Any] = {
        "name": _text(nvml.nvmlDeviceGetName(handle)), "uuid": _text(nvml.nvmlDeviceGetUUID(handle)),
        "memory_used_bytes": int(memory.used), "memory_total_bytes": int(memory.total),
    }  # fmt: skip
    try:  # parts of a GPU (MIG) do not tell these
        facts["utilisation"] = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        facts["temperature_c"] = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    except nvml.NVMLError:
        pass
    return facts


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
