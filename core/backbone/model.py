"""The protocol that hosts implement: a latent image model as the maths sees it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from ..schedule import Schedule
from ..types import Change
from .attention import AttentionEdit, AttentionSite, Tap
from .texts import Conditioning, Placeholders, TokenizedText, Vocabulary
from .weights import AttentionWeight, KeyValueWeight, TextChanges, TextLayers, TextWeight


class Backbone(Protocol):
    """A latent diffusion or flow model. Implementations never change the model."""

    @property
    def family(self) -> str:
        """The model family's name, for messages and metadata: ``lab``, ``sd15``, ``sdxl``, ``flux``."""
        ...

    @property
    def text_widths(self) -> Mapping[str, int]:
        """Text encoder name to the width d of its token table."""
        ...

    @property
    def schedule(self) -> Schedule:
        """The noise levels, and how pictures and noise are mixed at each."""
        ...

    @property
    def latent_downscale(self) -> int:
        """Pixels per latent cell along a side."""
        ...

    @property
    def latent_channels(self) -> int:
        """C of its latents (B, C, h, w)."""
        ...

    @property
    def reads_pooled(self) -> bool:
        """Whether the denoiser reads the pooled text, ``pooled_output`` of a conditioning's extras, if there is one."""
        ...

    def encode_image(self, image: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 to scaled latents (B, C, h, w), the posterior's mean: same in, same out.

        Sides that are no multiple of :attr:`latent_downscale` are cropped at the centre, as stock VAE encoding does.
        Raises ``ValueError`` for pictures smaller than one latent cell.
        """
        ...

    def decode_latent(self, latent: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w) to pictures (B, 3, H, W) in 0..1."""
        ...

    def tokenize(self, text: str, placeholders: Placeholders | None = None) -> TokenizedText:
        """How a text is read. Raises :class:`TextTooLongError` for one that does not fit, saying how many tokens do."""
        ...

    def encode_text(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Conditioning:
        """Conditioning of texts, one row each; gradients reach the placeholders' vectors.

        Raises :class:`TextTooLongError` for texts whose conditionings differ in length, see
        :func:`..sampling.encode_each`.
        """
        ...

    def encode_beginnings(self, texts: Sequence[str], length: int, placeholders: Placeholders | None = None) -> Tensor:
        """The first ``length`` positions (B, length, D) of each text, as :meth:`key_value_weights` read them.

        They are those of the context of :meth:`encode_text`, up to rounding, or what a model makes of it before its
        text enters (a norm, an adapter). A causal text encoder computes no later position for them. No gradients pass.
        Without a denoiser they are those of the context.

        Raises :class:`TextTooLongError` for a text that has fewer positions.
        """
        ...

    def encode_pooled(self, texts: Sequence[str], placeholders: Placeholders | None = None) -> Tensor:
        """The pooled texts (B, D), as :meth:`key_value_weights` of the role ``pooled`` read them. No gradients pass.

        Raises ``ValueError`` for a model without such weights.
        """
        ...

    def word_vectors(self, word: str) -> dict[str, Tensor]:
        """The input-table rows (n, d) of a word's tokens, per text encoder (copies)."""
        ...

    def vocabulary(self) -> Vocabulary:
        """The words of :class:`Vocabulary`, of three letters or more."""
        ...

    def predict_noise(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """The noise in ``latent`` (B, C, h, w) at ``timestep`` (B,) long; gradients allowed.

        A model that predicts something else (v, x0, a flow's velocity) is converted to noise by the adapter.
        """
        ...

    def predict_target(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """As :meth:`predict_noise`, of what training compares with :meth:`Schedule.target`: noise or velocity."""
        ...

    def attention_sites(self) -> tuple[AttentionSite, ...]:
        """Every attention layer, in the order they run."""
        ...

    def tap_attention(self, tap: Tap, sites: Sequence[AttentionSite] | None = None) -> AbstractContextManager[None]:
        """Within the context, call ``tap`` beside each of the sites (default: all). The output of the model stays
        bit-identical, gradients flow through query and key, and everything is undone on any exit. Several taps of one
        site are called in the order in which they were set."""
        ...

    def edit_attention(
        self, edit: AttentionEdit, sites: Sequence[AttentionSite] | None = None
    ) -> AbstractContextManager[None]:
        """Within the context, an edit may give each of the sites (default: all) another output. Where it gives None the
        model's output stays bit-identical; everything is undone on any exit."""
        ...

    def key_value_weights(self) -> tuple[KeyValueWeight, ...]:
        """The weights by which text enters, in order: of a UNet, keys and values of every cross-attention site."""
        ...

    def attention_weights(self) -> tuple[AttentionWeight, ...]:
        """The projections of every attention site, in order, each site's query, key, value, out."""
        ...

    def attention_tensors(self) -> Mapping[str, Tensor]:
        """The weights of :meth:`attention_weights` in force now, by name; each is read when it is asked for, and is not
        to be written to. None for models whose attention weights are not trained."""
        ...

    def weight_numbers(self) -> Mapping[str, float]:
        """Numbers (:func:`..fingerprints.number_of`) that together identify the denoiser: for every one of its weights
        and what lies on it, such as a LoRA. They serve to recognise it on one host, and take seconds for large models.
        """
        ...

    def text_weights(self) -> tuple[TextWeight, ...]:
        """The projections and the feed-forward weights of every layer of the CLIP text encoders, biases too, in order;
        none for text encoders of another kind."""
        ...

    def text_changed(self, changes: TextChanges) -> AbstractContextManager[None]:
        """Within the context :meth:`encode_text` computes with the weights named and their changes.

        Gradients reach the changes; a backward pass may run after the context is left. Contexts nest, their changes
        add up; all is undone on any exit.

        Raises ``ValueError`` for names that are not among :meth:`text_weights` and changes that do not fit.
        """
        ...

    def text_outputs(self, modules: Mapping[str, str]) -> AbstractContextManager[Mapping[str, Tensor]]:
        """Within the context, what one module of each text encoder gave in the last :meth:`encode_text`.

        Args:
            modules: text encoder to the module's name in transformers, such as
                ``encoder.layers.11.self_attn.out_proj``.

        Gives text encoder to (B, L, d), part of the graph when gradients are on; empty before a text is encoded. Texts
        have no weights of words here.

        Raises ``ValueError`` for modules that the text encoders do not have.
        """
        ...

    def text_layers(self) -> AbstractContextManager[Mapping[str, TextLayers]]:
        """Within the context, what all layers of each CLIP text encoder computed in the last :meth:`encode_text`; with
        empty lists before a text is encoded.

        A text of several chunks has a row for each, and there may be one more row behind those of all texts.

        Raises ``ValueError`` for text encoders of another kind.
        """
        ...

    def adapted(self, changes: Mapping[str, Change]) -> AbstractContextManager[None]:
        """Within the context :meth:`predict_noise` computes with ``W + up @ down`` for the weights named, or with
        ``W + change`` where a change is given whole.

        Gradients reach the factors or the change; a backward pass may run after the context is left. What a pass holds
        for it beyond activations is one copy of each weight named. Factors of zeros leave the prediction bit-identical
        (where the model computes at float32). Contexts nest, their changes add up; all is undone on any exit. The
        answers of :meth:`key_value_weights` stay those of the model itself.

        Raises ``ValueError`` for names that are neither among :meth:`attention_weights` nor :meth:`key_value_weights`,
        and for factors that do not fit.
        """
        ...
