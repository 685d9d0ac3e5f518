"""LoRA files onto models, as weight patches."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...core.files import load_tensors
from ...core.messages import listed
from ...core.types import LowRank
from .. import folders
from ..handles import ClipHandle, ModelHandle
from ..schema_standin import io
from ..weight_patches import WeightPatch

_TEXT_PREFIXES = ("lora_te", "text_encoder")
_UP = (".lora_up.weight", ".lora_B.weight")
_DOWN = (".lora_down.weight", ".lora_A.weight")
_WHOLE = ".diff"


def read_lora(path: Path, model: ModelHandle) -> tuple[dict[str, LowRank], tuple[str, ...]]:
    """Weight changes of a LoRA file: parameter name of the UNet to its factors, and the keys meant for text encoders.

    kohya's keys (``lora_unet_..._to_k.lora_up.weight``), peft's (``unet.....to_k.lora_B.weight``) and whole
    differences (``.diff``, at full rank) are read.

    Raises:
        ValueError: for keys that name nothing in this model.
    """
    tensors, _ = load_tensors(path)
    text = tuple(key for key in tensors if key.startswith(_TEXT_PREFIXES))
    known = _names(model)
    factors: dict[str, LowRank] = {}
    strange: list[str] = []
    for base in dict.fromkeys(_base(key) for key in tensors if key not in text):
        factor = _factor(tensors, base)
        if base in known and factor is not None:
            factors[known[base]] = factor
        else:
            strange.append(base)
    if strange:
        raise ValueError(
            f"{path.name} does not fit this {model.family} model: {len(strange)} of its entries name no weight of it "
            f"({listed(strange[:3])}{', ...' if len(strange) > 3 else ''})"
        )
    return factors, text


def _names(model: ModelHandle) -> dict[str, str]:
    """Names a LoRA file may use, to the parameter."""
    names: dict[str, str] = {}
    for parameter, _ in model.unet.named_parameters():
        if parameter.endswith(".weight"):
            base = parameter.removesuffix(".weight")
            names |= {f"lora_unet_{base.replace('.', '_')}": parameter, f"unet.{base}": parameter}
    return names


def _base(key: str) -> str:
    for ending in (*_UP, *_DOWN, _WHOLE, ".alpha"):
        if key.endswith(ending):
            return key.removesuffix(ending)
    return key


def _factor(tensors: Mapping[str, Tensor], base: str) -> LowRank | None:
    """``alpha / rank * up @ down``, with convolutions laid flat; None for an entry that is not complete."""
    whole = tensors.get(base + _WHOLE)
    if whole is not None:
        flat = whole.float().flatten(1)
        return LowRank(flat, torch.eye(flat.shape[1]))
    up = next((tensors[base + ending] for ending in _UP if base + ending in tensors), None)
    down = next((tensors[base + ending] for ending in _DOWN if base + ending in tensors), None)
    if up is None or down is None:
        return None
    alpha = tensors.get(f"{base}.alpha")
    scale = 1.0 if alpha is None else float(alpha) / len(down)
    return LowRank(up.float().flatten(1) * scale, down.float().flatten(1))


class LoraLoader(io.ComfyNode):
    """A LoRA onto a model. Parts for the text encoder are refused, unless their strength is 0."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraLoader",
            display_name="Load LoRA (Model and CLIP)",
            category="loaders",
            inputs=[
                io.Model.Input("model"),
                io.Clip.Input("clip"),
                *_widgets(),
                io.Float.Input("strength_clip", default=1.0, min=-100.0, max=100.0, step=0.01),
            ],
            outputs=[io.Model.Output(display_name="MODEL"), io.Clip.Output(display_name="CLIP")],
        )

    @classmethod
    def execute(
        cls, model: ModelHandle, clip: ClipHandle, lora_name: str, strength_model: float, strength_clip: float
    ) -> io.NodeOutput:
        factors, text = read_lora(folders.current().find_model("loras", lora_name), model)
        if text and strength_clip != 0:
            raise ValueError(
                f"{lora_name} also changes the text encoder, which works in ComfyUI only; "
                "set strength_clip to 0 to leave that part out"
            )
        return io.NodeOutput(model.with_patch(WeightPatch(factors, strength_model)), clip)

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None) -> str:
        return _mark(lora_name)


class LoraLoaderModelOnly(io.ComfyNode):
    """A LoRA onto a model; its parts for the text encoder are left out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraLoaderModelOnly",
            display_name="Load LoRA",
            category="loaders",
            inputs=[io.Model.Input("model"), *_widgets()],
            outputs=[io.Model.Output(display_name="MODEL")],
        )

    @classmethod
    def execute(cls, model: ModelHandle, lora_name: str, strength_model: float) -> io.NodeOutput:
        factors, _ = read_lora(folders.current().find_model("loras", lora_name), model)
        return io.NodeOutput(model.with_patch(WeightPatch(factors, strength_model)))

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None) -> str:
        return _mark(lora_name)


def _widgets() -> list[io.Input]:
    return [
        io.Combo.Input("lora_name", folders.current().list_models("loras")),
        io.Float.Input("strength_model", default=1.0, min=-100.0, max=100.0, step=0.01),
    ]


def _mark(lora_name: str | None) -> str:
    """Changes when the file does."""
    if lora_name is None:
        return ""
    stat = folders.current().find_model("loras", lora_name).stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"
