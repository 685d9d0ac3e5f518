"""Which backbone stands behind what the sockets carry: the seam between hosts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from torch import Tensor

from ..core.attribute.concept_attention import ConceptBackbone
from ..core.backbone import Backbone, Placeholders
from ..core.compose.parts.layers import Layer
from ..core.compose.registry import METHODS as COMPOSERS
from ..core.surgery.skill import Skill
from ..core.types import ConceptTokens, Erasure
from .comfy import guards as comfy_guards
from .comfy import weights as comfy_weights
from .comfy.attention import capture as comfy_capture
from .comfy.backbone import ComfyBackbone
from .comfy.composing import compositions as comfy_compositions
from .comfy.composing import layers as comfy_layers
from .comfy.latents import reads_frames
from .comfy.names import is_patcher
from .comfy.noise import sampler_levels
from .comfy.surgery import skills as comfy_skills
from .comfy.text import encoding as comfy_encoding
from .comfy.text import weights as comfy_text
from .comfy.transformers.pictures import PictureReader
from .comfy.transformers.pictures import picture_reader as comfy_picture_reader
from .headless import layers as headless_layers
from .headless import skills as headless_skills
from .headless import text_weights as headless_text
from .headless.backbone import DiffusersBackbone
from .headless.denoiser_weights import of_parameters
from .headless.noise_levels import model_levels
from .shared.captures import AttentionCapture, headless_capture
from .shared.compositions import Composed
from .shared.conditioning import to_comfy
from .shared.environment import inside_comfyui
from .shared.errors import UnsupportedModelError
from .shared.families import FAMILIES
from .shared.guards import SamplingGuard
from .shared.handles import ClipHandle, ModelHandle, VaeHandle
from .shared.recomputation import Choice
from .shared.weights.lazy_weights import LazyWeights
from .shared.weights.weight_patches import WeightPatch

__all__ = [
    "UnsupportedModelError",
    "at_work",
    "compositions_of",
    "attention_places",
    "backbone_of",
    "encode_one",
    "encode_prompt",
    "handle_of",
    "has_frames",
    "latent_of",
    "layers_of",
    "noise_levels_of",
    "picture_reader",
    "scaled_latent",
    "weights_of",
    "with_adapter",
    "with_capture",
    "with_composition",
    "with_erasure",
    "guards_of",
    "with_guard",
    "with_skill",
    "with_text_erasure",
]

_PARTS = {"MODEL": ModelHandle, "CLIP": ClipHandle, "VAE": VaeHandle}


def backbone_of(model: Any = None, clip: Any = None, vae: Any = None) -> Backbone:
    """The backbone of the parts that are given (the others may be None).

    Raises:
        UnsupportedModelError: for families that no adapter reads, and for parts of two hosts at once.
        ValueError: for parts of two models.
    """
    given = {name: part for name, part in zip(_PARTS, (model, clip, vae), strict=True) if part is not None}
    foreign = [name for name, part in given.items() if not isinstance(part, _PARTS[name])]
    if not foreign:
        return DiffusersBackbone(model, clip, vae)
    if inside_comfyui() and len(foreign) == len(given):
        return ComfyBackbone(model, clip, vae)
    name, ours = foreign[0], _PARTS[foreign[0]].__name__
    described = f"{type(given[name]).__module__}.{type(given[name]).__qualname__}"
    if inside_comfyui():
        raise UnsupportedModelError(
            f"{name} is a {described} and another input a handle of the headless runner; connect parts of one loader"
        )
    raise UnsupportedModelError(
        f"{name} is a {described}, which is read inside ComfyUI only; "
        f"use the output of Load Lab Model (a {ours}) with `python -m concept_atelier run`"
    )


def handle_of(socket: str, part: Any) -> Any:
    """A MODEL, CLIP or VAE of the headless runner, for its stock nodes. Raises :class:`UnsupportedModelError`."""
    if not isinstance(part, _PARTS[socket]):
        given = "nothing" if part is None else f"a {type(part).__module__}.{type(part).__qualname__}"
        raise UnsupportedModelError(f"{socket} is {given}; connect the output of Load Lab Model")
    return part


def encode_prompt(clip: Any, text: str, placeholders: Placeholders) -> Any:
    """CONDITIONING of one prompt in which placeholders stand. Raises as :func:`backbone_of` does."""
    backbone = backbone_of(clip=clip)
    if isinstance(backbone, ComfyBackbone):
        return comfy_encoding.encode_prompt(clip, text, placeholders)
    return to_comfy(backbone.encode_text([text], placeholders))


def encode_one(clip: Any, text: str, placeholders: Placeholders) -> tuple[Any, dict[str, Any]]:
    """The context (1, L, D) of one prompt and what goes with it, the one entry of its CONDITIONING.

    Raises ``ValueError`` for a CLIP whose hooks are scheduled, which encodes a prompt once for each span of them.
    """
    entries = encode_prompt(clip, text, placeholders)
    if len(entries) != 1:
        raise ValueError(
            f"this CLIP has scheduled hooks, which make {len(entries)} entries of one prompt; connect a CLIP without "
            "Set CLIP Hooks, or one whose schedule_clip is off"
        )
    context, extras = entries[0]
    return context, dict(extras)


def picture_reader(clip: Any) -> PictureReader | None:
    """Reads prompts behind pictures; None for text encoders that read none. Raises as :func:`backbone_of` does."""
    family = FAMILIES[backbone_of(clip=clip).family]
    known = family.transformer is not None and not isinstance(clip, ClipHandle)
    return comfy_picture_reader(clip, family) if known else None


@contextmanager
def at_work(backbone: Backbone, save_memory: Choice = "off") -> Iterator[Backbone]:
    """For jobs that take gradients: gives the memory back on any exit.

    ``save_memory`` says whether blocks of the denoiser are computed again in the backward pass.
    """
    if isinstance(backbone, ComfyBackbone | DiffusersBackbone):
        backbone.recomputation.choice = save_memory
    try:
        yield backbone
    finally:
        if isinstance(backbone, ComfyBackbone):
            backbone.close()


def with_erasure(model: Any, erasure: Erasure) -> Any:
    """A copy of MODEL that shares its weights and has that part of an erasure in force that changes the denoiser.

    Raises as :func:`backbone_of` does, and ``ValueError`` for an erasure of another model, and for one that guards
    sampling, which no host applies yet.
    """
    if erasure.guards:
        raise ValueError(
            f"the erasure by {erasure.metadata.get('method', 'this method')} also guards the sampling, which this "
            "version cannot apply"
        )
    if not erasure.factors:
        return model
    if is_patcher(model):
        return comfy_weights.with_erasure(model, erasure)
    backbone_of(model=model)
    return model.with_patch(WeightPatch(of_parameters(model, erasure.factors), erasure.strength))


def with_text_erasure(clip: Any, erasure: Erasure) -> Any:
    """A copy of CLIP that shares its weights and has that part of an erasure in force that changes text encoders.

    Raises as :func:`backbone_of` does, and ``ValueError`` for an erasure of another text encoder.
    """
    if not erasure.text:
        return clip
    foreign = f"the erasure was made for another text encoder ({erasure.family})"
    if isinstance(clip, ClipHandle):
        return headless_text.with_text_changes(clip, erasure.text, erasure.strength, foreign)
    backbone_of(clip=clip)
    return comfy_text.with_text_changes(clip, erasure.text, erasure.strength, foreign)


def with_adapter(model: Any, tokens: ConceptTokens, strength: float = 1.0) -> Any:
    """A copy of MODEL that shares its weights and has the change in force that belongs to the tokens, if any.

    Raises as :func:`backbone_of` does, and ``ValueError`` for tokens of another model.
    """
    if not tokens.adapter:
        return model
    if is_patcher(model):
        foreign = f"these tokens were learnt on another model ({tokens.family})"
        return comfy_weights.with_changes(model, tokens.adapter, strength, foreign)
    backbone_of(model=model)
    return model.with_patch(WeightPatch(of_parameters(model, tokens.adapter), strength))


def with_capture(model: Any, capture: AttentionCapture) -> Any:
    """A copy of MODEL whose sampling runs are added to the capture. Raises as :func:`backbone_of` does."""
    if is_patcher(model):
        return comfy_capture.with_capture(model, capture)
    backbone = cast(ConceptBackbone, backbone_of(model=model))
    default = tuple(site.name for site in backbone.default_sites())
    return model.with_capture(headless_capture(capture, default))


def with_composition(model: Any, composed: Composed) -> Any:
    """A copy of MODEL whose sampling runs are composed. Raises as :func:`backbone_of` does, and
    :class:`UnsupportedModelError` for a model that the method does not work on."""
    backbone, composer = backbone_of(model=model), composed.composer
    if composer.unets_only and any(site.kind == "joint" for site in backbone.attention_sites()):
        others = (
            "; choose attention_couple or lora_composer, which work there too" if composer.name in COMPOSERS else ""
        )
        raise UnsupportedModelError(
            f"{composer.title} works on UNets (Stable Diffusion 1.x, 2.x, XL and the lab model), and this is "
            f"{FAMILIES[backbone.family].title}{others}"
        )
    if is_patcher(model):
        return comfy_compositions.with_composition(model, composed)
    return model.with_composition(composed)


def compositions_of(model: Any) -> tuple[Composed, ...]:
    """What the sampling runs of a MODEL compose, the first one first. Raises as :func:`backbone_of` does."""
    if is_patcher(model):
        return comfy_compositions.compositions_of(model)
    backbone_of(model=model)
    return tuple(model.compositions)


def has_frames(model: Any) -> bool:
    """Whether the latents of MODEL have frames (B, C, frames, h, w), one or more."""
    return is_patcher(model) and reads_frames(model)


def layers_of(model: Any) -> Mapping[str, Layer]:
    """The linear layers and convolutions of MODEL, by how LoRA files call them. Raises as :func:`backbone_of` does."""
    backbone_of(model=model)
    return comfy_layers.layers_of(model) if is_patcher(model) else headless_layers.layers_of(model.unet)


def noise_levels_of(model: Any, scheduler: str, steps: int) -> Tensor:
    """(steps + 1,) the falling noise levels that the host's samplers visit. Raises as :func:`backbone_of` does."""
    if is_patcher(model):
        return sampler_levels(model, scheduler, steps)
    backbone_of(model=model)
    return model_levels(model, scheduler, steps)


def scaled_latent(model: Any, latent: Mapping[str, Any]) -> Tensor:
    """The scaled latents (B, C, h, w) of a LATENT, as methods read them; the way back is :func:`latent_of`."""
    samples = latent["samples"].float()
    return model.model.process_latent_in(samples) if is_patcher(model) else samples * model.scaling_factor


def latent_of(model: Any, scaled: Tensor) -> dict[str, Any]:
    """The LATENT of scaled latents (B, C, h, w)."""
    own = model.model.process_latent_out(scaled) if is_patcher(model) else scaled / model.scaling_factor
    return {"samples": own.float().cpu()}


def with_guard(model: Any, guard: SamplingGuard) -> Any:
    """A copy of MODEL that keeps concepts out of pictures. Raises as :func:`backbone_of` and the method's check do."""
    if is_patcher(model):
        return comfy_guards.with_guard(model, guard)
    guard.check(backbone_of(model=model))
    return model.with_guard(guard)


def guards_of(model: Any) -> tuple[SamplingGuard, ...]:
    """The guards that a MODEL's sampling runs have, the first one first. Raises as :func:`backbone_of` does."""
    if is_patcher(model):
        return comfy_guards.guards_of(model)
    backbone_of(model=model)
    return tuple(model.guards)


def weights_of(model: Any, clip: Any = None) -> Mapping[str, Tensor]:
    """Every weight of MODEL in force, and of the layers of CLIP where one is given, by the names that skills have for
    them; each is read when it is asked for, onto the CPU: of two models one may lie elsewhere. Raises as
    :func:`backbone_of` does."""
    backbone_of(model=model, clip=clip)
    host = comfy_skills if is_patcher(model) else headless_skills
    of_model, of_text = host.model_weights(model), host.clip_weights(clip) if clip is not None else {}

    def read(weights: Mapping[str, Tensor], name: str) -> Tensor:
        return weights[name].cpu()

    return LazyWeights({name: partial(read, all_of, name) for all_of in (of_model, of_text) for name in all_of})


def attention_places(model: Any) -> Mapping[str, tuple[str, int]]:
    """Attention projection to the name that skills have for its weight, and its first row there. Those that have one
    name for both are left out: transformers in ComfyUI hold queries, keys and values as rows of one weight."""
    return comfy_skills.attention_places(model) if is_patcher(model) else {}


def with_skill(model: Any, clip: Any, skill: Skill, strength: float = 1.0) -> tuple[Any, Any]:
    """Copies of MODEL and CLIP that share their weights and have a skill in force; without CLIP its text part is left
    out. Raises as :func:`backbone_of` does, and ``ValueError`` for a skill of another model."""
    backbone_of(model=model, clip=clip)
    host: Any = comfy_skills if is_patcher(model) else headless_skills
    try:
        changed = host.with_sparse(model, skill.denoiser, strength) if skill.denoiser else model
        text = skill.text if clip is not None else {}
        return changed, host.with_sparse_text(clip, text, strength) if text else clip
    except ValueError as error:
        raise ValueError(f"the skill {error}; it was made for another model ({skill.family})") from error
