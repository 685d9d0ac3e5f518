"""What MODEL, CLIP and VAE sockets carry when we run without ComfyUI.

Handles are frozen: a node that changes a model returns a changed copy that shares the weights (``with_patch``,
``with_capture``), as ComfyUI's patchers do, and the weights themselves are never written to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

from ...core.backbone import Conditioning, Tap
from ...core.messages import listed, shown
from ...core.schedule import flow_of_alphas
from .families import FAMILIES
from .weights.weight_patches import WeightPatch, check_patch

if TYPE_CHECKING:
    from ...core.attention.record import AttentionRecorder
    from ...core.attribute.concept_attention import ConceptBackbone
    from .compositions import Composed
    from .guards import SamplingGuard

PredictionType = Literal["epsilon", "v_prediction", "sample", "flow"]


class Autoencoder(Protocol):
    """What a :class:`VaeHandle` holds: ``LabVAE``, or a wrapped ``AutoencoderKL``."""

    @property
    def latent_channels(self) -> int:
        """C of its latents."""
        ...

    def encode(self, picture: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in -1..1 to the unscaled posterior mean (B, C, h, w)."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Unscaled latents (B, C, h, w) to pictures (B, 3, H, W) in about -1..1."""
        ...


@dataclass(frozen=True)
class Capture:
    """Something that listens to attention during sampling runs.

    Attributes:
        tap: called beside each attention layer of interest.
        sites: names of those layers; None means all.
        begin: called once as a run starts, with the positive conditioning of that run; forgets earlier runs.
        finish: called once as a run ends well, with what it gave (B, C, h, w).
        beside: called after every step with the backbone, the timestep, and what makes one more pass of the positive
            conditioning, which taps of attention take for no part of it; None for nothing.
    """

    tap: Tap
    sites: tuple[str, ...] | None
    begin: Callable[[Conditioning], None]
    finish: Callable[[Tensor], None] = lambda samples: None
    beside: "Callable[[ConceptBackbone, float, Callable[[], object]], None] | None" = None

    @classmethod
    def into(cls, recorder: "AttentionRecorder") -> "Capture":
        """A capture that fills ``recorder`` and starts it afresh with every run."""
        return cls(recorder.tap, None, recorder.begin)


@dataclass(frozen=True, eq=False)
class ModelHandle:
    """A denoiser.

    Attributes:
        unet: a diffusers ``UNet2DConditionModel``, or a ``FluxTransformer2DModel`` of patch size 1.
        alphas_cumprod: (T,) signal share per timestep, falling; float64 keeps the sigma table exact. Of a flow, those
            of :func:`~...core.schedule.alphas_of_flow`.
        family: ``lab``, ``sd15``, ``sd2`` or ``sdxl``.
        prediction_type: what the denoiser was trained to predict; ``flow`` is the velocity of a rectified flow.
        latent_downscale: pixels per latent cell along a side.
        patches: weight changes in force; they add up.
        captures: listeners of sampling runs.
        compositions: what sampling runs compose.
        guards: what keeps concepts out of sampled pictures.
    """

    unet: Any
    alphas_cumprod: Tensor
    family: str
    prediction_type: PredictionType = "epsilon"
    latent_downscale: int = 8
    patches: tuple[WeightPatch, ...] = ()
    captures: tuple[Capture, ...] = ()
    compositions: tuple["Composed", ...] = ()
    guards: tuple["SamplingGuard", ...] = ()

    @property
    def flow_sigmas(self) -> Tensor | None:
        """(T,) float64 shares of noise of a flow, rising; None for other models."""
        return flow_of_alphas(self.alphas_cumprod.double()) if self.prediction_type == "flow" else None

    @property
    def scaling_factor(self) -> float:
        """The family's latent scale. Raises ``ValueError`` for a family without one."""
        if self.family not in FAMILIES:
            raise ValueError(f"no latent scale is known for family {shown(self.family)}; known: {listed(FAMILIES)}")
        return FAMILIES[self.family].latent_scale

    def with_patch(self, patch: WeightPatch) -> "ModelHandle":
        """The same model with one more weight change. Raises ``ValueError`` for names or shapes it does not have."""
        check_patch(self.unet, patch)
        return replace(self, patches=(*self.patches, patch))

    def with_capture(self, capture: Capture) -> "ModelHandle":
        """The same model with one more listener."""
        return replace(self, captures=(*self.captures, capture))

    def with_composition(self, composed: "Composed") -> "ModelHandle":
        """The same model with one more composition."""
        return replace(self, compositions=(*self.compositions, composed))

    def with_guard(self, guard: "SamplingGuard") -> "ModelHandle":
        """The same model with one more guard."""
        return replace(self, guards=(*self.guards, guard))


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A text tower.

    Attributes:
        tokenizer: a transformers ``CLIPTokenizer``.
        model: a transformers ``CLIPTextModel`` or ``CLIPTextModelWithProjection``.
        layer: hidden state that is read, -1 the last, -2 the one before (clip skip 2).
        normalise: whether the final layer norm is applied to it (SD1.x and SD2.x do, SDXL does not).
        patches: weight changes in force; they add up.
    """

    tokenizer: Any
    model: Any
    layer: int = -1
    normalise: bool = True
    patches: tuple[WeightPatch, ...] = ()


@dataclass(frozen=True, eq=False)
class ClipHandle:
    """The text side of a model.

    Attributes:
        encoders: ComfyUI's names (``clip_l``, ``clip_g``, ``clip_h``) to towers; contexts are joined in this order
            and the last one gives the pooled output.
        family: as in :class:`ModelHandle`.
        embedding_folders: where ``embedding:name`` is looked up.
    """

    encoders: Mapping[str, TextEncoder]
    family: str
    embedding_folders: tuple[Path, ...] = field(default_factory=tuple)

    def with_patches(self, patches: Mapping[str, WeightPatch]) -> "ClipHandle":
        """The same text side with one more weight change in each encoder named, by its own parameters' names.

        Raises ``ValueError`` for names or shapes that an encoder does not have.
        """
        encoders = dict(self.encoders)
        for name, patch in patches.items():
            check_patch(encoders[name].model, patch)
            encoders[name] = replace(encoders[name], patches=(*encoders[name].patches, patch))
        return replace(self, encoders=encoders)


@dataclass(frozen=True)
class VaeHandle:
    """An autoencoder.

    Attributes:
        vae: encodes and decodes pictures in -1..1, unscaled latents.
        scaling_factor: latents times this are what the denoiser sees.
        latent_downscale: pixels per latent cell along a side.
    """

    vae: Autoencoder
    scaling_factor: float
    latent_downscale: int = 8
