"""A :class:`~concept_atelier.core.backbone.Backbone` over ComfyUI's ModelPatcher, CLIP and VAE.

Everything goes through the patcher: options passed to a call for listening, clones with weight wrappers for gradients,
ComfyUI's memory management for devices. Nothing is left in the user's model, on any exit.
"""

import uuid
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
from ..shared.errors import UnsupportedModelError
from ..shared.families import FAMILIES, no_concepts
from ..shared.picture_sizes import crop_to_multiple
from ..shared.progress import check_interrupt
from ..shared.recomputation import Recomputation
from ..shared.text_layers import text_layers
from ..shared.text_layouts import check_text_changes
from ..shared.weight_patches import check_changes
from .beginnings import encode_beginnings
from .blocks import Restore, recompute_blocks
from .encoding import encode, text_widths, vocabulary, word_vectors
from .gradients import (
    ChangesOf,
    differentiable,
    differentiable_clip,
    out_of_place,
    plain_attention,
    wants_gradients,
)
from .names import attention_keys
from .noise import NoiseLevels
from .overrides import OVERRIDE
from .parts import check_part, check_vae, model_family, text_families, text_family
from .passes import Denoiser, EditedSites, TappedSites, UNetDenoiser
from .text import tokenized
from .text_weights import layered_encoders, text_keys, text_outputs, text_weights
from .transformers import text as transformer_text
from .transformers.attention_weights import WeightPart, attention_parts
from .transformers.entry import EntryRows, read_entry, small_latent
from .transformers.passes import TransformerDenoiser
from .transformers.text import text_record
from .weights import attention_weights, key_value_weights

LEARNING_MEMORY = 4  # a pass that gradients are taken through, against one that only samples
RECOMPUTING_MEMORY = 2  # the same where blocks are computed again


class ComfyBackbone:
    """The model behind ComfyUI's sockets. Parts that a job does not need may be left out.

    The first pass with gradients or changed weights takes clones of MODEL and CLIP made for it; :meth:`close` gives the
    memory back and puts the user's own in their place.

    Raises :class:`~..shared.errors.UnsupportedModelError` for families that it does not read, ``ValueError`` for MODEL
    and CLIP of different families; a method that needs a part that was not given raises ``ValueError`` naming it.
    """

    def __init__(self, model: Any = None, clip: Any = None, vae: Any = None) -> None:
        self._model, self._clip, self._vae = model, clip, vae
        self._learning: tuple[Any, Any] | None = None
        self._taps: list[TappedSites] = []
        self._edits: list[EditedSites] = []
        self._changes: list[Mapping[str, Change]] = []
        self._text_changes: list[TextChanges] = []
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

    @property
    def model(self) -> Any:
        """The MODEL. Raises ``ValueError`` if it was not given."""
        return _given(self._model, "MODEL")

    @property
    def clip(self) -> Any:
        """The CLIP. Raises ``ValueError`` if it was not given."""
        return _given(self._clip, "CLIP")

    @property
    def vae(self) -> Any:
        """The VAE. Raises ``ValueError`` if it was not given."""
        return _given(self._vae, "VAE")

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

    @torch.no_grad()
    def encode_image(self, image: Tensor) -> Tensor:
        picture = crop_to_multiple(image, self.latent_downscale)
        latent = self.vae.encode(picture.movedim(1, -1))
        model, channels = self.model, self.latent_channels
        if latent.shape[1] != channels:
            raise ValueError(
                f"the VAE makes latents {tuple(latent.shape)}, {FAMILIES[self.family].title} reads {channels} "
                "channels; connect the VAE of the same checkpoint"
            )
        scaled = model.model.process_latent_in(latent.float()).to(model.load_device)
        return scaled[:, :, 0] if scaled.ndim == 5 else scaled  # of the one picture of a film

    @torch.no_grad()
    def decode_latent(self, latent: Tensor) -> Tensor:
        frames = int(getattr(self.model.model.latent_format, "latent_dimensions", 2)) == 3
        latent = latent.unsqueeze(2) if frames else latent
        picture = self.vae.decode(self.model.model.process_latent_out(latent.float()))
        picture = picture[:, 0] if picture.ndim == 5 else picture
        return picture.movedim(-1, 1).clamp(0, 1).to(latent.device)

    def tokenize(self, text: str, placeholders: Placeholders | None = None) -> TokenizedText:
        family = text_record(text_family(self.clip))
        if family is not None:
            return transformer_text.tokenized(self.clip, family, text, placeholders or {})
        return tokenized(self.clip, text, placeholders or {})

    def encode_text(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Conditioning:
        check_interrupt()
        _, clip = self._in_force()
        family = text_record(text_family(self.clip))
        if family is not None:
            return transformer_text.encode(clip, family, texts, placeholders or {})
        return encode(_given(clip, "CLIP"), texts, placeholders or {})

    @torch.no_grad()
    def encode_beginnings(self, texts: Sequence[str], length: int, placeholders: Placeholders | None = None) -> Tensor:
        check_interrupt()
        _, clip = self._in_force()
        if text_record(text_family(self.clip)) is None:
            return encode_beginnings(_given(clip, "CLIP"), texts, length, placeholders or {})
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

    def default_sites(self) -> tuple[AttentionSite, ...]:
        """See :class:`~...core.attribute.concept_attention.ConceptBackbone`."""
        return self._denoiser.default_sites()

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

    def text_weights(self) -> tuple[TextWeight, ...]:
        return () if text_record(text_family(self.clip)) is not None else text_weights(self.clip)

    @contextmanager
    def text_changed(self, changes: TextChanges) -> Iterator[None]:
        check_text_changes(changes, self.text_weights(), "these changes do not fit")
        self._text_changes.append(changes)
        try:
            yield
        finally:
            self._text_changes.pop()

    def text_outputs(self, modules: Mapping[str, str]) -> AbstractContextManager[Mapping[str, Tensor]]:
        return text_outputs(self.clip, modules)

    def text_layers(self) -> AbstractContextManager[Mapping[str, TextLayers]]:
        return text_layers({} if text_record(text_family(self.clip)) is not None else layered_encoders(self.clip))

    @contextmanager
    def adapted(self, changes: Mapping[str, Change]) -> Iterator[None]:
        check_changes(changes, self.attention_weights())
        self._changes.append(changes)
        try:
            yield
        finally:
            self._changes.pop()

    def close(self) -> None:
        """Give back what gradients took: the user's own MODEL and CLIP take the place of our clones in memory."""
        if self._learning is None:
            return
        import comfy.model_management as management

        management.load_models_gpu(_patchers(self._model, self._clip))
        self._learning = None
        management.soft_empty_cache()

    @cached_property
    def _denoiser(self) -> Denoiser:
        if FAMILIES[self.family].transformer is not None:
            return TransformerDenoiser(self.model, self.family)
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
        """MODEL and CLIP to compute with: the user's own until gradients or changes are wanted, then our clones."""
        if self._learning is None and (wants_gradients() or self._changes or self._text_changes):
            model = None if self._model is None else differentiable(self._model, self._changes_by_key())
            if model is not None:
                recompute_blocks(model, FAMILIES[self.family], self.recomputation, self._remember_changes)
            clip = None if self._clip is None else differentiable_clip(self._clip, self._text_changes_by_key())
            self._learning = model, clip
        return (self._model, self._clip) if self._learning is None else self._learning

    def _changes_by_key(self) -> Mapping[str, ChangesOf]:
        family = FAMILIES[self.family]
        if family.transformer is None:
            return {key: partial(self._changes_of, name) for name, key in attention_keys(self._model).items()}
        of_key: dict[str, dict[str, WeightPart]] = {}
        for name, part in attention_parts(family, self._model).items():
            of_key.setdefault(part.key, {})[name] = part
        return {key: partial(self._changes_of_parts, parts) for key, parts in of_key.items()}

    def _changes_of_parts(self, parts: Mapping[str, WeightPart]) -> list[Change]:
        return [part.placed(change) for name, part in parts.items() for change in self._changes_of(name)]

    def _text_changes_by_key(self) -> Mapping[str, ChangesOf]:
        return {key: partial(self._text_changes_of, *named) for named, key in text_keys(self._clip).items()}

    def _text_changes_of(self, encoder: str, name: str) -> list[Change]:
        return [of[encoder][name] for of in self._text_changes if name in of.get(encoder, {})]

    def _changes_of(self, name: str) -> list[Change]:
        return [changes[name] for changes in self._changes if name in changes]

    def _remember_changes(self) -> Restore:
        """How to compute with the changes that are in force now, when they no longer are."""
        then = list(self._changes)

        @contextmanager
        def restored() -> Iterator[None]:
            now, self._changes = self._changes, then
            try:
                yield
            finally:
                self._changes = now

        return restored

    def _recomputes(self, patcher: Any, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> bool:
        """Whether this pass computes its blocks again in the backward pass."""
        import comfy.model_management as management

        def probe(small: Tensor) -> Tensor:
            extras = {name: rows[:1] for name, rows in conditioning.extras.items()}
            self._denoiser.measured = True
            try:
                return self.predict_noise(small, timestep[:1], Conditioning(conditioning.context[:1], extras))
            finally:
                self._denoiser.measured = False

        return self.recomputation.wanted(latent, probe, lambda: management.get_free_memory(patcher.load_device))

    def _load(self, latent: Tensor) -> Any:
        """The patcher to compute with, in memory."""
        import comfy.model_management as management

        management.throw_exception_if_processing_interrupted()  # so that every job can be cancelled at every pass
        model, clip = self._in_force()
        patcher = _given(model, "MODEL")
        learning = RECOMPUTING_MEMORY if self.recomputation.choice == "on" else LEARNING_MEMORY
        wanted = patcher.memory_required(list(latent.shape)) * (learning if wants_gradients() else 1)
        # While learning the text encoder is needed at every step: loaded together, they do not displace each other.
        together = _patchers(patcher, clip) if self._learning is not None else [patcher]
        management.load_models_gpu(together, memory_required=wanted)
        return patcher

    def _sigma(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """Noise level (B,) of each row, relative to the signal."""
        rows = len(latent), len(timestep), len(conditioning.context)
        if latent.ndim != 4 or len(set(rows)) != 1:
            raise ValueError(
                f"latent {tuple(latent.shape)}, timestep {tuple(timestep.shape)} and context "
                f"{tuple(conditioning.context.shape)} need the same number of rows, and latents four dimensions"
            )
        table = self._denoiser.sigmas
        if not 0 <= int(timestep.min()) <= int(timestep.max()) < len(table):
            raise ValueError(f"timesteps must lie in 0..{len(table) - 1}, got {timestep.tolist()}")
        return table.to(self.model.load_device)[timestep.to(self.model.load_device)]

    def _options(self, patcher: Any, sigma: Tensor, timestep: Tensor) -> dict[str, Any]:
        """The model options of one call, as a sampler makes them, with our taps."""
        import comfy.patcher_extension as extension

        given = patcher.model_options.get("transformer_options", {})
        options = given | {
            "cond_or_uncond": [0],
            "uuids": [uuid.uuid4()],
            "sigmas": sigma,
            "sample_sigmas": torch.stack([sigma[0], torch.zeros_like(sigma[0])]),
            "wrappers": extension.merge_nested_dicts(given.get("wrappers", {}), patcher.wrappers),
        }
        if wants_gradients():
            options |= {OVERRIDE: plain_attention, "patches": out_of_place(given.get("patches", {}))}
        time = float(timestep[0]) if bool((timestep == timestep[0]).all()) else None
        options = self._denoiser.with_edits(options, self._edits, time)
        return self._denoiser.with_taps(options, [(partial(self._tell, tap), names) for tap, names in self._taps], time)

    def _tell(self, tap: Tap, call: AttentionCall) -> None:
        self.recomputation.tell(lambda: tap(call))


def _patchers(model: Any, clip: Any) -> list[Any]:
    return [patcher for patcher in (model, getattr(clip, "patcher", None)) if patcher is not None]


def _given(part: Any, socket: str) -> Any:
    if part is None:
        raise ValueError(f"this job needs a {socket}, and none was given; connect one")
    return part
