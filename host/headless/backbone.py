"""A :class:`~concept_atelier.core.backbone.Backbone` over a UNet or transformer of diffusers and CLIP text towers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property

import torch
from torch import Tensor

from ...core.attribute.concept_attention import ConceptRows, ConceptTap
from ...core.backbone import (
    AttentionEdit,
    AttentionKind,
    AttentionSite,
    AttentionWeight,
    Conditioning,
    KeyValueWeight,
    Placeholders,
    Tap,
    TextChanges,
    TextLayers,
    TextWeight,
    TokenizedText,
    Vocabulary,
)
from ...core.compose.parts.layers import LayerEdit
from ...core.encoding_checks import check_encoded
from ...core.schedule import DiffusionSchedule, FlowSchedule, noise_from_clean, noise_from_velocity
from ...core.types import Change
from ..shared.conditioning import check_rows, first_row
from ..shared.errors import UnsupportedModelError
from ..shared.families import FAMILIES, no_concepts
from ..shared.handles import ClipHandle, ModelHandle, VaeHandle
from ..shared.model_parts import ModelParts
from ..shared.progress import check_interrupt, interruptible
from ..shared.recomputation import Recomputation, free_memory
from ..shared.text.layers import text_layers
from ..shared.weights.changes_in_force import ChangesInForce
from ..shared.weights.layer_edits import edited_layers
from ..shared.weights.weight_patches import call_with, check_changes
from .autoencoder import latents_of, pictures_of
from .blocks import recomputed
from .concepts import concepts_beside
from .denoiser_weights import attention_tensors, changeable_shapes, weight_numbers
from .edits import edited
from .encoding import encode, encode_beginnings, first_layout, text_widths, vocabulary, word_vectors
from .flux import find_joint_sites, find_joint_weights, tapped_jointly, velocity
from .layers import layer_pass
from .passes import pooled_text_and_sizes, tensors_in_force
from .taps import Forward, find_sites, find_weights, tapped
from .text_entry import text_entry_weights
from .text_weights import layered_encoders, text_outputs, text_weights, with_text_changes

LAST_SHARE = 0.999
"""The greatest share of noise at which methods ask a flow for what is left of the picture."""


class DiffusersBackbone(ModelParts[ModelHandle, ClipHandle, VaeHandle]):
    """The model behind our handles. Parts that a job does not need may be left out.

    Every pass of a model asks first whether the run was cancelled, so that no loop over passes has to.

    Using a part that was not given raises ``ValueError`` naming it. The modules are never written to: patches are
    put in for the length of a call, gradients never reach the weights, hooks are removed on any exit.
    """

    def __init__(
        self, model: ModelHandle | None = None, clip: ClipHandle | None = None, vae: VaeHandle | None = None
    ) -> None:
        if model is not None and clip is not None and model.family != clip.family:
            raise ValueError(f"MODEL belongs to {model.family} and CLIP to {clip.family}; connect both from one loader")
        super().__init__(model, clip, vae)
        self._forward: Forward | None = None
        self._changes = ChangesInForce()
        self.recomputation = Recomputation()

    @property
    def family(self) -> str:
        return (self._model or self.clip).family

    @property
    def text_widths(self) -> Mapping[str, int]:
        return text_widths(self.clip)

    @property
    def alphas_cumprod(self) -> Tensor:
        """(T,) float32, the signal share per timestep."""
        return self.model.alphas_cumprod.float()

    @property
    def schedule(self) -> DiffusionSchedule | FlowSchedule:
        return DiffusionSchedule(self.alphas_cumprod) if self._flow is None else self._flow

    @cached_property
    def _flow(self) -> FlowSchedule | None:
        """The schedule of a flow. At its last level nothing of the picture is left to solve for: it stops short."""
        sigmas = self.model.flow_sigmas
        return None if sigmas is None else FlowSchedule(sigmas.float().clamp(max=LAST_SHARE))

    @property
    def latent_downscale(self) -> int:
        return (self._vae or self.model).latent_downscale

    @property
    def latent_channels(self) -> int:
        return FAMILIES[self.family].latent_channels

    @property
    def reads_pooled(self) -> bool:
        return FAMILIES[self.family].reads_pooled

    @torch.no_grad()
    def encode_image(self, image: Tensor) -> Tensor:
        check_interrupt()
        return latents_of(self.vae, image)

    @torch.no_grad()
    def decode_latent(self, latent: Tensor) -> Tensor:
        check_interrupt()
        return pictures_of(self.vae, latent)

    def tokenize(self, text: str, placeholders: Placeholders | None = None) -> TokenizedText:
        return first_layout(self.clip, text, placeholders).tokenized()

    def encode_text(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Conditioning:
        check_interrupt()
        encoded = encode(self._changed_clip(), texts, placeholders)
        if not torch.is_grad_enabled():  # a training looks at its loss
            check_encoded(encoded.context, texts, placeholders or ())
        return encoded

    @torch.no_grad()
    def encode_beginnings(self, texts: Sequence[str], length: int, placeholders: Placeholders | None = None) -> Tensor:
        check_interrupt()
        context = encode_beginnings(self._changed_clip(), texts, length, placeholders)
        check_encoded(context, texts, placeholders or ())
        return context

    def encode_pooled(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Tensor:
        raise ValueError(f"{FAMILIES[self.family].title} has no weight for the pooled text that can be edited")

    def word_vectors(self, word: str) -> dict[str, Tensor]:
        return word_vectors(self.clip, word)

    def vocabulary(self) -> Vocabulary:
        return vocabulary(self.clip)

    def predict_noise(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        output = self.predict(latent, timestep, conditioning)
        if self.model.prediction_type == "epsilon":
            return output
        if self._flow is not None:
            return self._flow.noise_from_velocity(output, latent, timestep)
        convert = noise_from_velocity if self.model.prediction_type == "v_prediction" else noise_from_clean
        return convert(output, latent, timestep, self.alphas_cumprod)

    def predict_target(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        if self._flow is not None:
            return self.predict(latent, timestep, conditioning)
        return self.predict_noise(latent, timestep, conditioning)

    def predict(
        self,
        latent: Tensor,
        timestep: Tensor,
        conditioning: Conditioning,
        conditional: Sequence[bool] | None = None,
        text_length: int | None = None,
        level: Tensor | None = None,
    ) -> Tensor:
        """The denoiser's own output (B, C, h, w): noise, velocity or clean latent, as it was trained.

        Args:
            latent: (B, C, h, w) at the noise level of ``timestep``, variance preserving or along the flow.
            timestep: (B,) long.
            conditioning: B rows.
            conditional: per row, whether taps see it as the positive conditioning; default all.
            text_length: length of the positive context before it was repeated; default the whole.
            level: share of noise () that a flow reads, where it lies between two timesteps; default the timestep's.

        Raises:
            ValueError: when rows do not match.
        """
        check_interrupt()
        check_rows(latent, timestep, conditioning)
        unet = self.model.unet
        moved = {"device": unet.device, "dtype": unet.dtype}
        tensors, again = tensors_in_force(self.model, self._changes), self._recomputes(latent, timestep, conditioning)
        blocks = recomputed(unet, tensors, self.recomputation) if again else nullcontext()
        running = self._running(latent, timestep, conditioning, conditional, text_length)
        seen, text = latent.to(**moved), conditioning.context.to(**moved)
        with self.recomputation.in_force(again), running, interruptible(unet), blocks:
            if self._flow is not None:
                share = self._flow.sigmas.to(timestep.device)[timestep] if level is None else level.expand(len(latent))
                output = velocity(unet, seen, share.to(**moved), text, tensors)
            else:
                output = call_with(
                    unet,
                    tensors,
                    seen,
                    timestep.to(unet.device),
                    encoder_hidden_states=text,
                    added_cond_kwargs=pooled_text_and_sizes(self.model, latent, conditioning),
                    return_dict=False,
                )[0]
        return output.to(latent.device, latent.dtype)

    def attention_sites(self) -> tuple[AttentionSite, ...]:
        return self._sites

    @cached_property
    def _sites(self) -> tuple[AttentionSite, ...]:
        return find_sites(self.model.unet) if self._flow is None else find_joint_sites(self.model.unet)

    def tap_attention(self, tap: Tap, sites: Sequence[AttentionSite] | None = None) -> AbstractContextManager[None]:
        chosen = self.attention_sites() if sites is None else sites
        listen = tapped if self._flow is None else tapped_jointly
        return listen(self.model.unet, chosen, tap, self._current, self.recomputation)

    def default_sites(self, view: AttentionKind = "cross") -> tuple[AttentionSite, ...]:
        """See :class:`~...core.attribute.concept_attention.ConceptBackbone`; the blocks that are read in ComfyUI."""
        sites, record = self.attention_sites(), FAMILIES[self.family].transformer
        if record is None:
            return sites
        single = sum(site.name.startswith("single_") for site in sites)
        chosen = record.read_blocks((len(sites) - single, single), view)
        return sites[chosen.start : chosen.stop]

    def tap_concepts(
        self, tap: ConceptTap, concepts: ConceptRows, sites: Sequence[AttentionSite]
    ) -> AbstractContextManager[None]:
        """See :class:`~...core.attribute.concept_attention.ConceptBackbone`."""
        if self._flow is None:
            raise UnsupportedModelError(no_concepts(self.family))
        return concepts_beside(self.model.unet, sites, tap, concepts, self._current)

    def edit_attention(
        self, edit: AttentionEdit, sites: Sequence[AttentionSite] | None = None
    ) -> AbstractContextManager[None]:
        return edited(self.model.unet, self.attention_sites() if sites is None else sites, edit, self._current)

    def edit_layers(self, edit: LayerEdit, names: Sequence[str]) -> AbstractContextManager[None]:
        """Within the context an edit may add to what each of the layers (:func:`.layers.layers_of`) gives."""
        return edited_layers(self.model.unet, names, edit, lambda: layer_pass(self._current()))

    def key_value_weights(self) -> tuple[KeyValueWeight, ...]:
        return text_entry_weights(self.model)

    def attention_weights(self) -> tuple[AttentionWeight, ...]:
        return self._weights

    @cached_property
    def _weights(self) -> tuple[AttentionWeight, ...]:
        return find_weights(self.model.unet) if self._flow is None else find_joint_weights(self.model.unet)

    @cached_property
    def _changeable(self) -> Mapping[str, tuple[int, int]]:
        return changeable_shapes(self.model, self._weights)

    def attention_tensors(self) -> Mapping[str, Tensor]:
        return attention_tensors(self.model, self.attention_weights())

    def weight_numbers(self) -> Mapping[str, float]:
        return weight_numbers(self.model)

    def text_weights(self) -> tuple[TextWeight, ...]:
        return text_weights(self.clip)

    def text_changed(self, changes: TextChanges) -> AbstractContextManager[None]:
        with_text_changes(self.clip, changes, 1.0, "these changes do not fit")  # raises before anything is computed
        return self._changes.text_changed(changes)

    def text_outputs(self, modules: Mapping[str, str]) -> AbstractContextManager[Mapping[str, Tensor]]:
        return text_outputs(self.clip, modules)

    def text_layers(self) -> AbstractContextManager[Mapping[str, TextLayers]]:
        return text_layers(layered_encoders(self.clip))

    def adapted(self, changes: Mapping[str, Change]) -> AbstractContextManager[None]:
        check_changes(changes, self._changeable)
        return self._changes.adapted(changes)

    def _changed_clip(self) -> ClipHandle:
        """The CLIP with the changes that are in force now."""
        clip = self.clip
        for changes in self._changes.texts:
            clip = with_text_changes(clip, changes, 1.0, "these changes do not fit")
        return clip

    def _recomputes(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> bool:
        """Whether this pass computes its blocks again in the backward pass."""

        def probe(small: Tensor) -> Tensor:
            return self.predict(small, timestep[:1], first_row(conditioning))

        unet = self.model.unet
        return self.recomputation.wanted(latent, probe, lambda: free_memory(unet.device), unet.parameters())

    def _current(self) -> Forward:
        if self._forward is None:
            raise RuntimeError("an attention layer ran outside predict_noise; run the model through its backbone")
        return self._forward

    @contextmanager
    def _running(
        self,
        latent: Tensor,
        timestep: Tensor,
        conditioning: Conditioning,
        conditional: Sequence[bool] | None,
        text_length: int | None,
    ) -> Iterator[None]:
        rows = tuple(conditional) if conditional is not None else (True,) * len(latent)
        time = float(timestep[0]) if bool((timestep == timestep[0]).all()) else None
        joint, length = self._flow is not None, conditioning.context.shape[1]
        length = length if text_length is None or joint else text_length  # texts of a flow are never repeated
        size = latent.shape[-2], latent.shape[-1]
        self._forward = Forward(size, rows, time, length, joint)
        try:
            yield
        finally:
            self._forward = None
