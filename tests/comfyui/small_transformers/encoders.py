"""CLIPs of a family's own classes, tokenizers and whole vocabularies, tiny and at random weights."""

from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from .denoisers import random_weight
from .sizes import DEV, KLEIN_9B
from .tokenizers import TEXT, small_vocabulary

_QWEN = {"num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 8}

_T5 = {"d_ff": 8, "d_kv": 4, "d_model": 8, "num_heads": 2, "num_layers": 2}

_CLIP = {"hidden_size": 4, "num_attention_heads": 1, "intermediate_size": 8, "num_hidden_layers": 2}

LEARNING: dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]] = {
    "flux": (
        {
            "clip_l": _CLIP,
            "t5xxl": _T5,
        },
        {},
    ),
    "flux2": ({"qwen3_4b": _QWEN | {"hidden_size": 16, "num_hidden_layers": 4}}, {"context_in_dim": 48}),
    "chroma": ({"t5xxl": _T5}, {}),
    "z_image": ({"qwen3_4b": _QWEN | {"hidden_size": 6, "num_hidden_layers": 3}}, {}),
    "krea2": ({"qwen3vl_4b": _QWEN | {"hidden_size": 8, "num_hidden_layers": 36}}, {"txtlayers": 12}),
    "qwen_image": ({"qwen25_7b": _QWEN | {"hidden_size": 8, "num_hidden_layers": 2}}, {}),
    KLEIN_9B: ({"qwen3_8b": _QWEN | {"hidden_size": 16, "num_hidden_layers": 4}}, {"context_in_dim": 48}),
    "lumina2": ({"gemma2_2b": _QWEN | {"hidden_size": 6, "num_hidden_layers": 3}}, {}),
    DEV: ({"mistral3_24b": _QWEN | {"hidden_size": 16, "num_hidden_layers": 4}}, {"context_in_dim": 48}),
    "anima": ({"qwen3_06b": _QWEN | {"hidden_size": 16, "num_hidden_layers": 2}}, {}),
    "sd3": (
        {
            "clip_l": _CLIP | {"num_hidden_layers": 3},
            "clip_g": _CLIP | {"num_hidden_layers": 3},
            "t5xxl": _T5,
        },
        {"adm_in_channels": 8},
    ),
}
"""Families whose text encoders read learnt tokens: their encoders' sizes, and sizes of the denoiser that fit them."""


_FLUX2 = {"flux2": "Qwen3_4BModel", KLEIN_9B: "Qwen3_8BModel", DEV: "Mistral3_24BModel"}
"""The class of the encoder in each text model of FLUX.2."""


def reading_clip(family: str, folders: Any = None) -> Any:
    """A CLIP of the family's own classes, tokenizers and whole vocabularies, tiny and at random weights."""
    import importlib

    import comfy.sd
    import comfy.supported_models_base as base

    module, reader, model, _, _ = TEXT[family]
    source = importlib.import_module(f"comfy.text_encoders.{module}")
    sizes = {f"{name}_model_config": dict(config) for name, config in LEARNING[family][0].items()}
    stock = getattr(source, model)
    inside: dict[str, Any] = {}
    if family in _FLUX2:  # which gives the rows of three of its many layers
        (name,) = LEARNING[family][0]
        inside = {"name": name, "clip_model": partial(getattr(source, _FLUX2[family]), layer=[1, 2, 3])}

    class Model(stock):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            more = {"dtype_t5": dtype} if family in ("flux", "sd3") else {}
            super().__init__(
                device=device, dtype=dtype, model_options={**(model_options or {}), **sizes}, **more, **inside
            )
            if family == "sd3":
                _widen(self.t5xxl)

    with _no_eyes():
        target = base.ClipTarget(getattr(source, reader), Model)
        clip = comfy.sd.CLIP(
            target,
            embedding_directory=folders,
            tokenizer_data=small_vocabulary(family),
            model_options={"dtype": torch.float32},
        )
    generator = torch.Generator().manual_seed(11)
    state = clip.cond_stage_model.state_dict()
    # A third of the usual size: so many layers at so little width would tell nothing apart by finite differences.
    drawn = {name: random_weight(name, old, generator) for name, old in state.items()}
    small_layers = {name: one / 3 if "layers" in name and one.ndim > 1 else one for name, one in drawn.items()}
    clip.cond_stage_model.load_state_dict(small_layers)
    return clip


def _widen(encoder: Any) -> None:
    """Bring what an encoder gives to the 4096 columns to which ComfyUI pads the rows of SD3's CLIP."""
    narrow = encoder.encode_token_weights

    def wide(pairs: Any) -> Any:
        rows, *more = narrow(pairs)
        wider = torch.randn(rows.shape[-1], 4096, generator=torch.Generator().manual_seed(6)) / rows.shape[-1] ** 0.5
        return (rows @ wider.to(rows), *more)

    encoder.encode_token_weights = wide


@contextmanager
def _no_eyes() -> Any:
    """Text encoders that also read pictures come without the part for them, which has no small sizes."""
    import importlib

    places = (("llama", "qwen_vl", "Qwen2VLVisionTransformer"), ("qwen3vl", None, "Qwen3VLVisionModel"))
    undo = []
    for module, inner, name in places:
        try:
            owner = importlib.import_module(f"comfy.text_encoders.{module}")
        except ImportError:
            continue
        owner = getattr(owner, inner) if inner else owner
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, lambda *_, **__: torch.nn.Identity())
    try:
        yield
    finally:
        for owner, name, stock in undo:
            setattr(owner, name, stock)
