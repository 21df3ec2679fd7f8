"""Jobs, the line and the workers as metrics, read from the database when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Gauge

from objectscan.jobs import workers
from objectscan.jobs.overview import overview
from objectscan.jobs.workers import WorkerRow
from objectscan.service.context import Context

_GPU = {
    "memory_used_bytes": "Memory in use.",
    "memory_total_bytes": "Memory.",
    "utilisation": "Share of the last second in which it computed.",
    "temperature_c": "Temperature in degrees Celsius.",
}


def job_metrics(context: Context) -> CollectorRegistry:
    """A registry with the values of now."""
    registry = CollectorRegistry()
    seen = overview(context.database)
    _values(
        registry, "objectscan_jobs", "Jobs by state.", ("state",), [((s,), n) for s, n in seen.states.items()]
    )
    _values(
        registry, "objectscan_jobs_running", "Running jobs by stage.", ("stage",),
        [((stage,), n) for stage, n in seen.stages.items()],
    )  # fmt: skip
    _values(
        registry, "objectscan_queue_age_seconds", "Time since the job that waits longest was accepted.", (),
        [((), seen.oldest_waiting_s)],
    )  # fmt: skip
    _values(
        registry, "objectscan_event_streams", "Open event streams of this process.", (),
        [((), context.hub.count)],
    )  # fmt: skip
    _of_workers(registry, workers.present(context.database))
    return registry


def _of_workers(registry: CollectorRegistry, rows: Sequence[WorkerRow]) -> None:
    states: list[str] = [row.state for row in rows]
    known = ("starting", "idle", "busy", "stopping")
    _values(
        registry, "objectscan_workers", "Workers by state.", ("state",),
        [((state,), states.count(state)) for state in known],
    )  # fmt: skip
    for name, words in (
        ("memory_bytes", "Memory of its child."),
        ("fragmentation", "Of its child's GPU memory."),
    ):
        found = [((row.id,), row.facts[name]) for row in rows if row.facts.get(name) is not None]
        _values(registry, f"objectscan_worker_{name}", words, ("worker",), found)
    for name, words in _GPU.items():
        of_gpus = [
            ((row.id, gpu["name"]), gpu[name])
            for row in rows for gpu in row.facts.get("gpus", ()) if gpu.get(name) is not None
        ]  # fmt: skip
        _values(registry, f"objectscan_gpu_{name}", words, ("worker", "gpu"), of_gpus)


def _values(
    registry: CollectorRegistry, name: str, words: str, labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> None:  # fmt: skip
    gauge = Gauge(name, words, labels, registry=registry)
    for texts, value in values:
        (gauge.labels(*texts) if labels else gauge).set(value)
