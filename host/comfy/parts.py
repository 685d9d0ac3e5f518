"""Which of ComfyUI's models a MODEL or a CLIP is, recognised by its classes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.messages import listed
from ..shared.errors import UnsupportedModelError
from ..shared.families import FAMILIES, supported

FAMILY_MARK = "concept_atelier_family"
"""Attribute of the class of a model configuration, or of a text model, that says its family: the lab's say ``lab``."""

_MARKS: Mapping[str, tuple[str, ...]] = {
    "MODEL": ("clone", "model", "model_options", "get_model_object"),
    "CLIP": ("cond_stage_model", "tokenizer", "patcher"),
    "VAE": ("encode", "decode", "patcher", "spacial_compression_encode"),  # a CLIP has the first three
}


def check_part(socket: str, part: Any) -> None:
    """Raise :class:`UnsupportedModelError` unless a MODEL, CLIP or VAE can do what ComfyUI's can."""
    if not all(hasattr(part, name) for name in _MARKS[socket]):
        raise UnsupportedModelError(
            f"{socket} is a {type(part).__module__}.{type(part).__qualname__}, which is none of ComfyUI's; "
            "connect what a checkpoint loader or Load Lab Model gives"
        )


def check_vae(family: str, vae: Any) -> None:
    """Raise ``ValueError`` for the lab's VAE with another family's model, and for another VAE with the lab's model.

    VAEs of other families are of one class and cannot be distinguished.
    """
    lab_vae = getattr(type(getattr(vae, "first_stage_model", None)), FAMILY_MARK, None) == "lab"
    if lab_vae != family.startswith("lab"):
        one, other = ("another model", "the lab model") if lab_vae else ("the lab model", "another model")
        raise ValueError(f"MODEL is {one} and VAE belongs to {other}; connect both from the same loader")


def model_family(patcher: Any) -> str:
    """The family of a ``ModelPatcher``.

    Raises :class:`UnsupportedModelError` for any other family, and for relatives that read more than a noisy latent
    (inpainting, instruct-pix2pix) or are not sampled step by step by the rule that they were trained with.
    """
    model, config = patcher.model, getattr(patcher.model, "model_config", None)
    family = getattr(type(config), FAMILY_MARK, None)  # of the class: the object logs what it is asked for in vain
    if family is None:
        family = _unet_family(model, config) or _transformer_family(model, config)
    called = f"{type(model).__name__} ({type(config).__name__})"
    if family is None:
        raise UnsupportedModelError(f"MODEL is of the family {called}; {supported()}")
    record = FAMILIES[family]
    _check_inputs(model, called, record.latent_channels)
    _check_sampling(patcher, called, flow=record.transformer is not None)
    return family


def _unet_family(model: Any, config: Any) -> str | None:
    import comfy.latent_formats as formats
    import comfy.model_base as base
    import comfy.supported_models as known

    latents = getattr(model, "latent_format", None)
    if isinstance(model, base.SDXL) and isinstance(latents, formats.SDXL):
        return "sdxl"
    if type(model) is base.BaseModel and isinstance(latents, formats.SD15):
        return "sd2" if isinstance(config, known.SD20) else "sd15" if isinstance(config, known.SD15) else None
    return None


def _transformer_family(model: Any, config: Any) -> str | None:
    """The classes are looked up by name: older versions of ComfyUI lack some of them."""
    import comfy.model_base as base
    import comfy.supported_models as known

    for family in FAMILIES.values():
        record = family.transformer
        if record is None or type(model) is not getattr(base, record.model, None):
            continue
        wanted = getattr(known, record.config, None) if record.config else None
        if record.config is None or (wanted is not None and _nearest(type(config)) is wanted):
            return family.name
    return None


def _nearest(config: type) -> type | None:
    """ComfyUI's class of a model's configuration, which may be a subclass of that."""
    return next((one for one in config.__mro__ if one.__module__ == "comfy.supported_models"), None)


def text_families(clip: Any) -> tuple[str, ...]:
    """The families a CLIP serves. Raises :class:`UnsupportedModelError` for others than those supported."""
    import comfy.sd1_clip
    import comfy.sdxl_clip

    text_model = clip.cond_stage_model
    marked = getattr(type(text_model), FAMILY_MARK, None)
    if marked is not None:
        return ("lab", "lab_flux") if marked == "lab" else (marked,)
    named = {f"{one.__module__}:{one.__name__}" for one in type(text_model).__mro__}
    served = tuple(
        family.name
        for family in FAMILIES.values()
        if family.transformer is not None and named.intersection(family.transformer.text_model)
    )
    if served:
        return served
    if isinstance(text_model, comfy.sdxl_clip.SDXLClipModel):
        return ("sdxl",)
    single = getattr(text_model, "clip", None) if isinstance(text_model, comfy.sd1_clip.SD1ClipModel) else None
    families = {"clip_l": "sd15", "clip_h": "sd2"}  # the lab's reads clip_l as well, and is recognised by its mark
    if single not in families:
        raise UnsupportedModelError(f"CLIP is of the family {type(text_model).__name__}; {supported()}")
    return (families[single],)


def text_family(clip: Any) -> str:
    """The first of :func:`text_families`."""
    return text_families(clip)[0]


def encoder_names(clip: Any) -> tuple[str, ...]:
    """The text encoders of a CLIP (``clip_l``, ``t5xxl``) in the order their contexts join.

    Raises :class:`UnsupportedModelError` for a CLIP with none of its family's.
    """
    family = FAMILIES[text_family(clip)]
    if family.transformer is None:
        return family.text_encoders
    model = clip.cond_stage_model  # SD3 may be loaded without some of its encoders
    there = tuple(name for name in family.text_encoders if getattr(model, name, None) is not None)
    if not there:
        raise UnsupportedModelError(
            f"learnt tokens cannot stand in the prompts of this {family.title}: its CLIP has none of the text encoders "
            f"{listed(family.text_encoders)}; load one of them"
        )
    return there


def word_table(clip: Any, encoder: str) -> Any:
    """The module that holds an encoder's token table, ``weight`` (vocabulary, d)."""
    return getattr(clip.cond_stage_model, encoder).transformer.get_input_embeddings()


def text_widths(clip: Any) -> dict[str, int]:
    """Encoder name to the width of its token table."""
    return {name: word_table(clip, name).weight.shape[1] for name in encoder_names(clip)}


def table_row(clip: Any, encoder: str, entry: int | Tensor) -> Tensor:
    """The vector (d,) float32 of a token id in an encoder's table, or of an embedding as it is."""
    if isinstance(entry, Tensor):
        return entry.detach().float().cpu().clone()
    with torch.no_grad():
        index = torch.tensor([entry], device=clip.patcher.load_device)
        return word_table(clip, encoder)(index, out_dtype=torch.float32)[0].cpu().clone()


def _check_inputs(model: Any, called: str, expected: int) -> None:
    channels = model.model_config.unet_config.get("in_channels", expected)
    if expected and channels != expected:
        raise UnsupportedModelError(
            f"MODEL is a {called} that reads {channels} channels (an inpainting or editing variant); use the plain "
            f"model it was made from; {supported()}"
        )


def _check_sampling(patcher: Any, called: str, flow: bool) -> None:
    import comfy.model_sampling as sampling

    rule = patcher.get_model_object("model_sampling")
    turning = tuple(filter(None, (sampling.IMG_TO_IMG, getattr(sampling, "IMG_TO_IMG_FLOW", None))))
    trained = sampling.CONST if flow else sampling.EPS
    if isinstance(rule, turning):
        reason = "turns one picture into another and does not denoise step by step"
    elif not hasattr(rule, "sigmas"):
        reason = "has no table of noise levels"
    elif not isinstance(rule, trained):
        reason = f"is no rule of {'flow matching' if flow else 'diffusion'}"
    else:
        return
    names = " and ".join(one.__name__ for one in type(rule).__bases__)
    raise UnsupportedModelError(
        f"MODEL is a {called} sampled by {names}, which {reason}; take out the node that changes its sampling; "
        f"{supported()}"
    )
