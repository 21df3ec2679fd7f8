"""DINOv2's tensor names as its authors published them, and as the safetensors file on the hub has them.

The file was written by transformers 4: queries, keys and values are three tensors there and one here. Source:
the two published state dicts (docs/generative-weights.md says what of it was checked).
"""

from __future__ import annotations

import re

_OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "register_tokens": "embeddings.register_tokens",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
_INSIDE = {
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
}
"""Other names inside a block are the same in both."""


def transformers_names(name: str) -> tuple[str, ...]:
    """Names in the file of one published tensor; three to be joined for `attn.qkv`."""
    block = re.fullmatch(r"blocks\.(\d+)\.(.+?)(\.weight|\.bias)?", name)
    if block is None:
        stem, ending = _split(name)
        return (_OUTSIDE[stem] + ending,)
    layer, stem, ending = f"encoder.layer.{block.group(1)}", block.group(2), block.group(3) or ""
    if stem == "attn.qkv":
        return tuple(f"{layer}.attention.attention.{part}{ending}" for part in ("query", "key", "value"))
    return (f"{layer}.{_INSIDE.get(stem, stem)}{ending}",)


def _split(name: str) -> tuple[str, str]:
    for ending in (".weight", ".bias"):
        if name.endswith(ending):
            return name.removesuffix(ending), ending
    return name, ""
