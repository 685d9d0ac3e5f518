"""Which of ComfyUI's models a MODEL or a CLIP is, told by its classes."""

from collections.abc import Mapping
from typing import Any

from ..shared.errors import UnsupportedModelError
from ..shared.families import FAMILIES, supported

FAMILY_MARK = "concept_atelier_family"
"""Attribute of the class of a model configuration, or of a text model, that says its family: the lab's say ``lab``."""

_MARKS: Mapping[str, tuple[str, ...]] = {
    "MODEL": ("clone", "model", "model_options", "get_model_object"),
    "CLIP": ("cond_stage_model", "tokenizer", "patcher"),
    "VAE": ("encode", "decode", "patcher"),
}


def check_part(socket: str, part: Any) -> None:
    """Raise :class:`UnsupportedModelError` unless a MODEL, CLIP or VAE can do what ComfyUI's can."""
    if not all(hasattr(part, name) for name in _MARKS[socket]):
        raise UnsupportedModelError(
            f"{socket} is a {type(part).__module__}.{type(part).__qualname__}, which is none of ComfyUI's; "
            "connect what a checkpoint loader or Load Lab Model gives"
        )


def model_family(patcher: Any) -> str:
    """The family of a ``ModelPatcher``.

    Raises :class:`UnsupportedModelError` for any other family, and for relatives that read more than a noisy latent
    (inpainting, instruct-pix2pix) or that do not denoise step by step towards a picture (flow models).
    """
    import comfy.latent_formats as formats
    import comfy.model_base as base
    import comfy.supported_models as known

    model, config = patcher.model, getattr(patcher.model, "model_config", None)
    family = getattr(type(config), FAMILY_MARK, None)  # of the class: the object logs what it is asked for in vain
    latents = getattr(model, "latent_format", None)
    if family is None and isinstance(model, base.SDXL) and isinstance(latents, formats.SDXL):
        family = "sdxl"
    elif family is None and type(model) is base.BaseModel and isinstance(latents, formats.SD15):
        family = "sd2" if isinstance(config, known.SD20) else "sd15" if isinstance(config, known.SD15) else None
    called = f"{type(model).__name__} ({type(config).__name__})"
    if family is None:
        raise UnsupportedModelError(f"MODEL is of the family {called}; {supported()}")
    _check_inputs(model, called, FAMILIES[family].latent_channels)
    _check_sampling(patcher, called)
    return family


def text_family(clip: Any) -> str:
    """The family a CLIP was made for. Raises :class:`UnsupportedModelError` for others than those supported."""
    import comfy.sd1_clip
    import comfy.sdxl_clip

    text_model = clip.cond_stage_model
    marked = getattr(type(text_model), FAMILY_MARK, None)
    if marked is not None:
        return marked
    if isinstance(text_model, comfy.sdxl_clip.SDXLClipModel):
        return "sdxl"
    single = getattr(text_model, "clip", None) if isinstance(text_model, comfy.sd1_clip.SD1ClipModel) else None
    families = {"clip_l": "sd15", "clip_h": "sd2"}  # the lab's reads clip_l as well, and is told by its mark
    if single not in families:
        raise UnsupportedModelError(f"CLIP is of the family {type(text_model).__name__}; {supported()}")
    return families[single]


def encoder_names(clip: Any) -> tuple[str, ...]:
    """The text encoders of a supported CLIP (``clip_l``, ``clip_g``, ``clip_h``) in the order their contexts join."""
    return FAMILIES[text_family(clip)].text_encoders


def word_table(clip: Any, encoder: str) -> Any:
    """The module that holds an encoder's token table, ``weight`` (vocabulary, d)."""
    return getattr(clip.cond_stage_model, encoder).transformer.get_input_embeddings()


def _check_inputs(model: Any, called: str, expected: int) -> None:
    channels = model.model_config.unet_config.get("in_channels", expected)
    if channels != expected:
        raise UnsupportedModelError(
            f"MODEL is a {called} that reads {channels} channels (an inpainting or editing variant); use the plain "
            f"model it was made from; {supported()}"
        )


def _check_sampling(patcher: Any, called: str) -> None:
    import comfy.model_sampling as sampling

    rule = patcher.get_model_object("model_sampling")
    if isinstance(rule, sampling.IMG_TO_IMG):
        reason = "turns one picture into another and does not denoise step by step"
    elif not isinstance(rule, sampling.EPS) or not hasattr(rule, "sigmas"):
        reason = "has no table of noise levels"
    else:
        return
    names = " and ".join(one.__name__ for one in type(rule).__bases__)
    raise UnsupportedModelError(
        f"MODEL is a {called} sampled by {names}, which {reason}; take out the node that changes its sampling; "
        f"{supported()}"
    )
