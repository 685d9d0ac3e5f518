"""A :class:`~concept_atelier.core.backbone.Backbone` over ComfyUI's ModelPatcher, CLIP and VAE.

Everything goes through the patcher: options passed to a call for listening, clones with weight wrappers for gradients,
ComfyUI's memory management for devices. Nothing is left in the user's model, on any exit.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from ...core.attribute.concept_attention import ConceptRows, ConceptTap
from ...core.backbone import (
    AttentionCall,
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
from ...core.schedule import Schedule
from ...core.types import Change
from ..shared.conditioning import check_rows, first_row
from ..shared.errors import UnsupportedModelError
from ..shared.families import FAMILIES, no_concepts
from ..shared.model_parts import ModelParts, given
from ..shared.progress import check_interrupt
from ..shared.recomputation import Recomputation
from ..shared.text.layers import text_layers
from ..shared.text.layouts import check_text_changes
from ..shared.weights.changes_in_force import ChangesInForce
from ..shared.weights.weight_patches import check_changes
from .attention.overrides import OVERRIDE
from .blocks import converted_bytes
from .gradients import out_of_place, plain_attention, wants_gradients
from .latents import decode_latent, encode_picture
from .learning import LearningClones
from .noise import NoiseLevels
from .parts import check_part, check_vae, model_family, text_families, text_family
from .passes import Denoiser, EditedSites, TappedSites, UNetDenoiser, call_options
from .text.beginnings import encode_beginnings
from .text.encoding import encode, text_widths, vocabulary, word_vectors
from .text.prompts import tokenized
from .text.weights import layered_encoders, text_outputs, text_weights
from .transformers import text as transformer_text
from .transformers.entry import EntryRows, read_entry, small_latent
from .transformers.passes import TransformerDenoiser
from .transformers.text import text_record
from .weight_numbers import weight_numbers
from .weights import attention_tensors, attention_weights, changeable_shapes, key_value_weights


class ComfyBackbone(ModelParts[Any, Any, Any]):
    """The model behind ComfyUI's sockets. Parts that a job does not need may be left out.

    The first pass with gradients or changed weights takes clones of MODEL and CLIP made for it; :meth:`close` gives the
    memory back and puts the user's own in their place.

    ``beside`` are options of a CONDITIONING that transformers read beside the text, such as the guidance of FLUX.

    Raises :class:`~..shared.errors.UnsupportedModelError` for families that it does not read, ``ValueError`` for MODEL
    and CLIP of different families; a method that needs a part that was not given raises ``ValueError`` naming it.
    """

    def __init__(
        self, model: Any = None, clip: Any = None, vae: Any = None, beside: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(model, clip, vae)
        self._beside = beside or {}
        self._taps: list[TappedSites] = []
        self._edits: list[EditedSites] = []
        self._changes = ChangesInForce()
        self.recomputation = Recomputation()
        for socket, part in (("MODEL", model), ("CLIP", clip), ("VAE", vae)):
            if part is not None:
                check_part(socket, part)
        served = text_families(clip) if clip is not None else ()
        self._family = model_family(model) if model is not None else next(iter(served), "")
        if served and self._family not in served:
            raise ValueError(
                f"MODEL is {FAMILIES[self._family].title} and CLIP belongs to {FAMILIES[served[0]].title}; "
                "connect both from the same checkpoint"
            )
        if model is not None and vae is not None:
            check_vae(self._family, vae)
        self._learning = LearningClones(model, clip, self._family, self._changes, self.recomputation)

    @property
    def family(self) -> str:
        return self._family

    @property
    def text_widths(self) -> Mapping[str, int]:
        return text_widths(self.clip)

    @property
    def alphas_cumprod(self) -> Tensor:
        """(T,) float64, the signal share per timestep of a UNet."""
        return NoiseLevels(self.model.get_model_object("model_sampling")).alphas_cumprod

    @property
    def schedule(self) -> Schedule:
        return self._denoiser.schedule

    @property
    def latent_downscale(self) -> int:
        return FAMILIES[self.family].cell if self._vae is None else int(self._vae.spacial_compression_encode())

    @property
    def latent_channels(self) -> int:
        return FAMILIES[self.family].latent_channels or int(self.model.model.latent_format.latent_channels)

    @property
    def reads_pooled(self) -> bool:
        return FAMILIES[self.family].reads_pooled

    @torch.no_grad()
    def encode_image(self, image: Tensor) -> Tensor:
        cell, channels = self.latent_downscale, self.latent_channels
        return encode_picture(self.model, self.vae, FAMILIES[self.family], image, cell, channels)

    @torch.no_grad()
    def decode_latent(self, latent: Tensor) -> Tensor:
        return decode_latent(self.model, self.vae, latent)

    def tokenize(self, text: str, placeholders: Placeholders | None = None) -> TokenizedText:
        family = text_record(text_family(self.clip))
        if family is not None:
            return transformer_text.tokenized(self.clip, family, text, placeholders or {}, self._template_rows)
        return tokenized(self.clip, text, placeholders or {})

    @cached_property
    def _template_rows(self) -> int:
        """Asked once, and of the CLIP that is in memory."""
        return transformer_text.template_rows(self._in_force()[1], FAMILIES[text_family(self.clip)])

    def encode_text(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Conditioning:
        check_interrupt()
        _, clip = self._in_force()
        family = text_record(text_family(self.clip))
        with self.recomputation.in_force(self._recomputes_text(clip, len(texts))):
            if family is not None:
                encoded = transformer_text.encode(clip, family, texts, placeholders or {})
            else:
                encoded = encode(given(clip, "CLIP"), texts, placeholders or {})
        self._learning.encoded(encoded.context)
        return encoded

    @torch.no_grad()
    def encode_beginnings(self, texts: Sequence[str], length: int, placeholders: Placeholders | None = None) -> Tensor:
        check_interrupt()
        _, clip = self._in_force()
        if text_record(text_family(self.clip)) is None:
            return encode_beginnings(given(clip, "CLIP"), texts, length, placeholders or {})
        if self._model is None:
            return self.encode_text(texts, placeholders).context[:, :length]
        return torch.cat([entry.rows[:, :length] for entry in self._entries(texts, placeholders)])

    @torch.no_grad()
    def encode_pooled(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Tensor:
        entries = [] if self._model is None else self._entries(texts, placeholders)
        found = [entry.pooled for entry in entries if entry.pooled is not None]
        if not found:
            raise ValueError(f"{FAMILIES[self.family].title} has no weight for the pooled text that can be edited")
        return torch.cat(found)

    def _entries(self, texts: Sequence[str], placeholders: Placeholders | None) -> list[EntryRows]:
        """What each text is where it enters; all are encoded first, so that the two models take turns once."""
        encoded = [self.encode_text([text], placeholders) for text in texts]
        patcher = self._load(small_latent(self.model))
        return [read_entry(patcher, self.family, one) for one in encoded]

    def word_vectors(self, word: str) -> dict[str, Tensor]:
        return word_vectors(self.clip, word)

    def vocabulary(self) -> Vocabulary:
        return vocabulary(self.clip)

    def predict_noise(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        return self._denoiser.noise(*self._denoised(latent, timestep, conditioning)).to(latent.device, latent.dtype)

    def predict_target(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        return self._denoiser.target(*self._denoised(latent, timestep, conditioning)).to(latent.device, latent.dtype)

    def attention_sites(self) -> tuple[AttentionSite, ...]:
        return self._denoiser.sites()

    def tap_attention(self, tap: Tap, sites: Sequence[AttentionSite] | None = None) -> AbstractContextManager[None]:
        wanted = self.attention_sites() if sites is None else sites
        return self._listening((tap, frozenset(site.name for site in wanted)))

    def default_sites(self, view: AttentionKind = "cross") -> tuple[AttentionSite, ...]:
        """See :class:`~...core.attribute.concept_attention.ConceptBackbone`."""
        return self._denoiser.default_sites(view)

    def tap_concepts(
        self, tap: ConceptTap, concepts: ConceptRows, sites: Sequence[AttentionSite]
    ) -> AbstractContextManager[None]:
        """See :class:`~...core.attribute.concept_attention.ConceptBackbone`."""
        if not isinstance(self._denoiser, TransformerDenoiser):
            raise UnsupportedModelError(no_concepts(self.family))
        return self._denoiser.with_concepts(tap, concepts, sites)

    @contextmanager
    def edit_attention(self, edit: AttentionEdit, sites: Sequence[AttentionSite] | None = None) -> Iterator[None]:
        wanted = self.attention_sites() if sites is None else sites
        entry = (edit, frozenset(site.name for site in wanted))
        self._edits.append(entry)
        try:
            yield
        finally:
            self._edits.remove(entry)

    def key_value_weights(self) -> tuple[KeyValueWeight, ...]:
        return key_value_weights(self.model)

    def attention_weights(self) -> tuple[AttentionWeight, ...]:
        return attention_weights(self.model)

    @cached_property
    def _changeable(self) -> Mapping[str, tuple[int, int]]:
        return changeable_shapes(self.model)

    def attention_tensors(self) -> Mapping[str, Tensor]:
        return attention_tensors(self.model)

    def weight_numbers(self) -> Mapping[str, float]:
        return weight_numbers(self.model)

    def text_weights(self) -> tuple[TextWeight, ...]:
        return () if text_record(text_family(self.clip)) is not None else text_weights(self.clip)

    def text_changed(self, changes: TextChanges) -> AbstractContextManager[None]:
        check_text_changes(changes, self.text_weights(), "these changes do not fit")
        return self._changes.text_changed(changes)

    def text_outputs(self, modules: Mapping[str, str]) -> AbstractContextManager[Mapping[str, Tensor]]:
        return text_outputs(self.clip, modules)

    def text_layers(self) -> AbstractContextManager[Mapping[str, TextLayers]]:
        return text_layers({} if text_record(text_family(self.clip)) is not None else layered_encoders(self.clip))

    def adapted(self, changes: Mapping[str, Change]) -> AbstractContextManager[None]:
        check_changes(changes, self._changeable)
        return self._changes.adapted(changes)

    def close(self) -> None:
        """Give back what gradients took: the user's own MODEL and CLIP take the place of our clones in memory."""
        self._learning.close()

    @cached_property
    def _denoiser(self) -> Denoiser:
        if FAMILIES[self.family].transformer is not None:
            return TransformerDenoiser(self.model, self.family, self._beside)
        return UNetDenoiser(self.model, self.family, self.latent_downscale)

    @contextmanager
    def _listening(self, entry: TappedSites) -> Iterator[None]:
        self._taps.append(entry)
        try:
            yield
        finally:
            self._taps.remove(entry)

    def _denoised(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> tuple[Tensor, Tensor, Tensor]:
        """What the model was given, what it saw in it, and the noise levels (B, 1, 1, 1)."""
        check_interrupt()
        patcher, sigma = self._load(latent), self._sigma(latent, timestep, conditioning)
        levels = sigma.view(-1, 1, 1, 1)
        noisy = self._denoiser.noisy(latent.to(patcher.load_device, torch.float32), levels)
        options = self._options(patcher, sigma, timestep)
        with self.recomputation.in_force(self._recomputes(patcher, latent, timestep, conditioning)):
            clean = self._denoiser.apply(patcher, noisy, sigma, conditioning, options)
        return noisy, clean, levels

    def _in_force(self) -> tuple[Any, Any]:
        """MODEL and CLIP to compute with."""
        return self._learning.in_force()

    def _recomputes(self, patcher: Any, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> bool:
        """Whether this pass computes its blocks again in the backward pass."""
        import comfy.model_management as management

        def probe(small: Tensor) -> Tensor:
            self._denoiser.measured = True
            try:
                return self.predict_noise(small, timestep[:1], first_row(conditioning))
            finally:
                self._denoiser.measured = False

        free, weights = partial(management.get_free_memory, patcher.load_device), patcher.model.parameters()
        return self.recomputation.wanted(latent, probe, free, weights)

    def _recomputes_text(self, clip: Any, texts: int) -> bool:
        """Whether so many texts are read by blocks that are computed again in the backward pass: where the converted
        weights, which autograd would keep of each text, take more than half of what is free."""
        import comfy.model_management as management

        if clip is None:
            return False
        free = partial(management.get_free_memory, clip.patcher.load_device)
        return self.recomputation.wanted_for(lambda: float(texts * converted_bytes(clip.patcher.model)), free, 0.5)

    def _load(self, latent: Tensor) -> Any:
        """The patcher to compute with, in memory."""
        return self._learning.load(latent)

    def _sigma(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """Noise level (B,) of each row, relative to the signal."""
        check_rows(latent, timestep, conditioning)
        table = self._denoiser.sigmas
        if not 0 <= int(timestep.min()) <= int(timestep.max()) < len(table):
            raise ValueError(f"timesteps must lie in 0..{len(table) - 1}, got {timestep.tolist()}")
        return table.to(self.model.load_device)[timestep.to(self.model.load_device)]

    def _options(self, patcher: Any, sigma: Tensor, timestep: Tensor) -> dict[str, Any]:
        """The model options of one call, as a sampler makes them, with our taps."""
        options = call_options(patcher, sigma)
        if wants_gradients():
            options |= {OVERRIDE: plain_attention, "patches": out_of_place(options.get("patches", {}))}
        time = float(timestep[0]) if bool((timestep == timestep[0]).all()) else None
        options = self._denoiser.with_edits(options, self._edits, time)
        return self._denoiser.with_taps(
            options, [(partial(self._notify, tap), names) for tap, names in self._taps], time
        )

    def _notify(self, tap: Tap, call: AttentionCall) -> None:
        self.recomputation.notify(lambda: tap(call))
