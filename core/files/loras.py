"""Erasures, and the changes of a model that belong to tokens, as LoRA files that stock ComfyUI and diffusers read.

Their keys are kohya's. What they are and where they come from stands in the metadata.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..types import Change, ConceptTokens, Erasure, LowRank
from .tensors import check_finite, save_tensors

_DIFFUSERS_BLOCKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("flux", "flux2", "chroma", "lab_flux"),
        ("lora_transformer_", ("transformer_blocks.", "single_transformer_blocks.")),
    ),
    "sd3": ("lora_transformer_", ("transformer_blocks.",)),
    "z_image": ("lycoris_", ("layers.",)),
}
"""Family to how keys of its blocks begin in a LoRA file, where blocks go by diffusers' names, and to those names."""
_TEXT_ENCODERS: Mapping[str, Mapping[str, str]] = {"sdxl": {"clip_l": "lora_te1", "clip_g": "lora_te2"}}
"""Family with several CLIP text encoders to how keys of each begin; those of a single one begin with ``lora_te``."""


def lora_tensors(erasure: Erasure, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Tensor], dict[str, str]]:
    """An erasure as the tensors and metadata of a LoRA file, multiplied by its strength.

    Keys of the denoiser are kohya's (``lora_unet_..._to_k.lora_up.weight``, ``.lora_down.weight``, ``.alpha``); alpha
    is the rank, so that loaders scale by 1. Loads in ComfyUI's LoraLoader and in diffusers' ``load_lora_weights``. Full
    changes are written as ``.diff``, which ComfyUI loads and diffusers does not. Keys of text encoders are kohya's too
    (:func:`text_key`); a bias is ``.diff_b``.

    Raises ``ValueError`` for an erasure that guards sampling, which a LoRA cannot hold, that changes nothing, or that
    is not finite.
    """
    if erasure.guards:
        raise ValueError("a LoRA file cannot hold all of this erasure: it also guards the sampling")
    if not (erasure.factors or erasure.text):
        raise ValueError("this erasure changes no weight, so there is no LoRA to save")
    tensors = change_tensors(erasure.family, erasure.factors, erasure.text, erasure.strength, dtype)
    check_finite(tensors, "the erasure's change")
    own = {"format": "concept-atelier erasure", "family": erasure.family, "strength": str(erasure.strength)}
    return tensors, dict(erasure.metadata) | own


def change_tensors(
    family: str,
    factors: Mapping[str, Change],
    text: Mapping[str, Mapping[str, Change]],
    strength: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Changes of a denoiser and of text encoders under the keys of a LoRA file."""
    keys = {kohya_key(name, family): change for name, change in factors.items()}
    keys |= {text_key(encoder, name, family): one for encoder, of in text.items() for name, one in of.items()}
    return _written(keys, strength, dtype)


def adapter_tensors(
    tokens: ConceptTokens, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The change of the model that belongs to tokens, as :func:`lora_tensors` gives an erasure.

    Raises ``ValueError`` for tokens without one, and for factors that are not finite.
    """
    if not tokens.adapter:
        raise ValueError(
            "these tokens come without a change of the model, so there is no LoRA to save: "
            "use Save Concept Tokens, or learn with a method that tunes the model"
        )
    broken = [n for n, f in tokens.adapter.items() if not (torch.isfinite(f.up).all() and torch.isfinite(f.down).all())]
    if broken:
        raise ValueError(f"the change of {broken[0]} is not finite (NaN or infinite); learn the tokens again")
    own = {"format": "concept-atelier adapter", "family": tokens.family, "concepts": ",".join(tokens.names)}
    keys = {kohya_key(name, tokens.family): change for name, change in tokens.adapter.items()}
    return _written(keys, 1.0, dtype), dict(tokens.metadata) | own


def save_adapter(path: Path, tokens: ConceptTokens, dtype: torch.dtype = torch.float32) -> None:
    """Write the change that belongs to tokens to ``path`` (ending in ``.safetensors``), whole or not at all."""
    save_tensors(path, *adapter_tensors(tokens, dtype))


def save_lora(path: Path, erasure: Erasure, dtype: torch.dtype = torch.float32) -> None:
    """Write an erasure to ``path`` (ending in ``.safetensors``), whole or not at all."""
    save_tensors(path, *lora_tensors(erasure, dtype))


def kohya_key(name: str, family: str) -> str:
    """How keys of a LoRA file begin that belong to a weight of the denoiser of a family.

    ComfyUI knows weights by its own names behind one prefix, and blocks of transformers by diffusers' names behind
    others.
    """
    prefix, blocks = _DIFFUSERS_BLOCKS.get(family, ("", ()))
    if not name.startswith(blocks):
        prefix = "lora_unet_"
    return prefix + name.removesuffix(".weight").replace(".", "_")


def text_key(encoder: str, name: str, family: str) -> str:
    """How keys of a LoRA file begin that belong to a weight of a CLIP text encoder of a family, for instance
    ``lora_te_text_model_encoder_layers_0_mlp_fc1``; a bias keeps its ``.bias``."""
    prefix = _TEXT_ENCODERS.get(family, {}).get(encoder, "lora_te")
    module, _, kind = name.rpartition(".")
    return f"{prefix}_text_model_{module.replace('.', '_')}{'.bias' if kind == 'bias' else ''}"


def old_text_key(encoder: str, name: str) -> str:
    """What :func:`text_key` was before it was kohya's: ComfyUI's own name, which diffusers does not read."""
    return f"text_encoders.{encoder}.transformer.text_model.{name.removesuffix('.weight')}"


def _written(factors: Mapping[str, Change], strength: float, dtype: torch.dtype) -> dict[str, Tensor]:
    """Changes by how their keys begin, as the tensors of a file."""
    tensors: dict[str, Tensor] = {}
    for key, factor in factors.items():
        if not isinstance(factor, LowRank):
            whole = (factor.dense() * strength).to("cpu", dtype)
            if key.endswith(".bias"):
                tensors[f"{key.removesuffix('.bias')}.diff_b"] = whole.flatten()
            else:
                tensors[f"{key}.diff"] = whole
            continue
        tensors[f"{key}.lora_up.weight"] = (factor.up * strength).to("cpu", dtype)
        tensors[f"{key}.lora_down.weight"] = factor.down.to("cpu", dtype)
        tensors[f"{key}.alpha"] = torch.tensor(float(factor.down.shape[0]), dtype=dtype)
    return tensors
