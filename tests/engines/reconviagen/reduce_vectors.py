"""Makes the two largest vectors small enough for the repository: `python reduce_vectors.py FROM TO`.

`ss_vggt_cond`: its contexts have 3072 channels but only 12 rows, so they and the matrices that read them are
written in a basis of the rows' span (per level and source): 24 channels, the same products, the published
output. `slat_mesh_decoder`: every eighth row of the features; the mesh made of all rows is kept whole.
All other vectors are in the repository as they were made.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

EVERY = 8
LAYERS = (4, 11, 17, 23)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def basis_of(rows: Tensor) -> Tensor:
    """Orthonormal rows [R C] that span `rows`, as many as there are."""
    return torch.linalg.qr(rows.double().T)[0].T


def reduced_condition(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    small = dict(tensors)
    appearance = tensors["in.dino_patch_tokens"]
    to_appearance = basis_of(appearance.flatten(0, 2))
    small["in.dino_patch_tokens"] = (appearance.double() @ to_appearance.T).float()
    for level, layer in enumerate(LAYERS):
        name, weight = f"in.vggt_layer_{layer}", f"state.cond_blocks.{level}.cross_attn.to_kv.weight"
        patches = tensors[name][:, :, 5:]
        to_geometry = basis_of(patches.flatten(0, 2))
        small[name] = torch.nn.functional.pad((patches.double() @ to_geometry.T).float(), (0, 0, 5, 0))
        geometry, rest = tensors[weight].double().split([2048, 1024], dim=1)
        small[weight] = torch.cat([geometry @ to_geometry.T, rest @ to_appearance.T], dim=1).float()
    return small


def reduced_decoder(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    features = tensors["out.features"]
    rows = torch.arange(0, len(features), EVERY)
    return {**tensors, "out.features": features[rows].contiguous(), "out.feature_rows": rows}


def main(source: Path, target: Path) -> None:
    for name, reduce in (("ss_vggt_cond", reduced_condition), ("slat_mesh_decoder", reduced_decoder)):
        tensors, metadata = read(source / f"{name}.safetensors")
        small = reduce(tensors)
        save_file(small, target / f"{name}.safetensors", metadata)
        print(json.dumps({"vector": name, "bytes": (target / f"{name}.safetensors").stat().st_size}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
