"""All that the maths knows of a model.

A :class:`Backbone` is a latent image model as six things: pictures and latents, words and conditionings, the noise
schedule, the prediction, the attention sites, and their weights. Hosts implement it; ``core`` never asks what
stands behind it. Nothing here assumes square pictures, a latent size, 77 tokens, one text encoder, a UNet, or what the
model was trained to predict.

Diffusion transformers put text and picture into one sequence, [text rows, picture rows, rows of reference pictures],
and every row attends to all of them. Such a layer is a ``joint`` site. It is handed out as two views of one softmax:
the picture's rows attending to the text's (``cross``) and to the picture's own (``self``).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from .schedule import Schedule
from .types import Change

TokenVectors = Mapping[str, Tensor]
"""One learnt token: text encoder name (``clip_l``, ``clip_g``, ``clip_h``) to vectors (n, d) of its input table."""

Placeholders = Mapping[str, TokenVectors]
"""What stands where: ``"<apple>"`` to its vectors. A placeholder takes as many positions as it has vectors."""


@dataclass(frozen=True)
class Token:
    """One position of an encoded text.

    Attributes:
        text: the piece of text it stands for, lower case, ``""`` for start, end and padding.
        position: index along the conditioning's length L.
        word: number of the written word (split at white space and punctuation) it is part of, -1 for specials.
        placeholder: the placeholder it belongs to, or None.
        reading: number of the text encoder that reads it, where rows of several lie one behind another.
    """

    text: str
    position: int
    word: int
    placeholder: str | None = None
    reading: int = 0


@dataclass(frozen=True)
class TokenizedText:
    """A text as the model reads it.

    Language models read a prompt inside a template. Positions count the rows of the conditioning: a template that the
    model strips has none, one that it keeps has some, but its tokens are not the text's own. Where several encoders'
    rows lie one behind another (SD3), each word is there once for each.

    Attributes:
        tokens: the text's own tokens, in order, without start, end, template and padding.
        start: position of the start token, or None where the model has none.
        end: position of the *first* end-of-text token (SD1.x pads with more of them), or of what follows the text.
        length: number of positions L, template and padding included.
    """

    tokens: tuple[Token, ...]
    start: int | None
    end: int
    length: int


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The encoded prompt, as the denoiser reads it.

    Attributes:
        context: (B, L, D), read by cross-attention, or put before the picture's rows.
        extras: further tensors by the host's name, first dimension B (pooled text, sizes, masks over the text).
    """

    context: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)


AttentionKind = Literal["self", "cross"]
"""What attention reads: the picture (``self``) or the text (``cross``)."""


@dataclass(frozen=True)
class AttentionSite:
    """One attention layer.

    Attributes:
        name: the host's name, unique, stable.
        kind: ``self`` reads the picture, ``cross`` the text, ``joint`` both in one call, as transformers do.
        stage: where it stands in a UNet; None for denoisers without stages.
        heads: number of heads.
        downscale: latent cells per grid cell along a side; its grid is ``ceil(h / downscale), ceil(w / downscale)``.
    """

    name: str
    kind: Literal["self", "cross", "joint"]
    stage: Literal["down", "mid", "up"] | None
    heads: int
    downscale: int

    def reads(self, kind: AttentionKind) -> bool:
        """Whether the layer reads the picture (``self``) or the text (``cross``)."""
        return self.kind in (kind, "joint")

    def grid(self, latent_size: tuple[int, int]) -> tuple[int, int]:
        """Its (h, w) for a latent of (h, w) cells."""
        return -(-latent_size[0] // self.downscale), -(-latent_size[1] // self.downscale)


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What a tap sees when a site runs. A joint site calls it twice, once for each view of its one softmax.

    Attributes:
        site: the site.
        query: (B, heads, h*w, d), rows of the grid in reading order; part of the graph when gradients are on.
        key: (B, heads, M, d), all keys that the softmax runs over. M is h*w for self and L for cross sites; for joint
            ones it counts text, picture and reference rows.
        scale: factor before the softmax, usually ``d ** -0.5``.
        grid: (h, w) of the queries.
        conditional: for each of the B rows, whether it belongs to the positive conditioning (all True outside
            classifier-free guidance).
        timestep: the current timestep (0 = clean), or None when unknown.
        view: of a joint site, which of its keys are handed out; None otherwise.
        columns: of a joint site, where those keys lie among M: L of them for ``cross``, h*w for ``self``. None is all.
        bias: what the model adds to the logits, broadcast over (B, heads, h*w, M); -inf where a key is not read. None
            for nothing.
    """

    site: AttentionSite
    query: Tensor
    key: Tensor
    scale: float
    grid: tuple[int, int]
    conditional: tuple[bool, ...]
    timestep: float | None = None
    view: AttentionKind | None = None
    columns: slice | None = None
    bias: Tensor | None = None

    @property
    def kind(self) -> AttentionKind:
        """What the keys of this call are: the picture's or the text's. ``ValueError`` for a joint call without view."""
        kind = self.view or self.site.kind
        if kind == "joint":
            raise ValueError(f"the call of the joint site {self.site.name} does not say which keys it hands out")
        return kind


Tap = Callable[[AttentionCall], None]


@dataclass(frozen=True, eq=False)
class AttentionInputs:
    """What an edit of attention sees when a site runs.

    Attributes:
        call: queries and keys of B rows that all belong to the positive conditioning, or all do not. Of a joint site
            all rows of the sequence are queries, ``view`` is ``self``, and ``columns`` says which rows and keys are
            the picture's; those of the text lie before them.
        value: (B, heads, M, d), of the keys.
        sources: what queries (B, N, C), keys and values (B, M, D each) are computed from by one projection each; None
            for joint sites.
        text: of a joint site, which of its rows are those of the conditioning; what else lies before the picture pads
            them. None for other sites.
    """

    call: AttentionCall
    value: Tensor
    sources: tuple[Tensor, Tensor, Tensor] | None = None
    text: slice | None = None

    @property
    def conditional(self) -> bool:
        """Whether the rows belong to the positive conditioning."""
        return self.call.conditional[0]


@dataclass(frozen=True, eq=False)
class EditedOutput:
    """Another output of a site whose projection behind the heads is changed, too.

    Attributes:
        heads: (B, heads, N, d), a row for each query.
        behind: (B, N, C), added to what the projection makes of the heads; None for nothing. Joint sites take none.
    """

    heads: Tensor
    behind: Tensor | None = None

    @classmethod
    def of(cls, output: "Tensor | EditedOutput") -> "EditedOutput":
        """What an edit gave."""
        return output if isinstance(output, cls) else cls(output)  # type: ignore[arg-type]


AttentionEdit = Callable[[AttentionInputs], Tensor | EditedOutput | None]
"""Another output (B, heads, N, d) of a site, a row for each query; None leaves the site's own."""


@dataclass(frozen=True, eq=False)
class KeyValueWeight:
    """A weight by which text enters the denoiser.

    Attributes:
        name: by which :class:`.types.Erasure` and files know it.
        role: ``key`` or ``value`` of a cross-attention layer; ``text`` of the one layer by which a transformer reads
            all rows of its text, for keys and values alike; ``pooled`` of one that reads the pooled text.
        weight: (d_out, D), as it is in force now (not to be written to).
    """

    name: str
    role: Literal["key", "value", "text", "pooled"]
    weight: Tensor


@dataclass(frozen=True)
class AttentionWeight:
    """A projection of an attention site, by which a method says what it trains.

    Attributes:
        name: as :attr:`KeyValueWeight.name`; what :meth:`Backbone.adapted` goes by.
        kind: of the site it belongs to.
        role: what it projects to; ``out`` is the projection behind the heads.
        shape: (d_out, d_in).
    """

    name: str
    kind: Literal["self", "cross", "joint"]
    role: Literal["query", "key", "value", "out"]
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class TextWeight:
    """A weight or bias of a layer of a text encoder.

    Attributes:
        encoder: the text encoder (``clip_l``, ``clip_g``, ``clip_h``).
        name: its name in transformers below ``text_model``, such as ``encoder.layers.0.mlp.fc1.weight``.
        weight: (d_out, d_in) or (d_out,), as it is in force now (not to be written to).
    """

    encoder: str
    name: str
    weight: Tensor


TextChanges = Mapping[str, Mapping[str, Change]]
"""Text encoder to changes of its weights, by :attr:`TextWeight.name`; a bias (d_out,) changes by (d_out, 1)."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words that a model's text encoders know as one token.

    Attributes:
        words: V of them, lower case, unique. Endings of longer words are among them: tokenizers do not tell them apart.
        vectors: text encoder name to their rows (V, d) of its input table (copies).
    """

    words: tuple[str, ...]
    vectors: Mapping[str, Tensor]


class TextTooLongError(ValueError):
    """A text has more tokens than the model reads, or than the texts have that are to be encoded with it."""


class UnequalTextsError(TextTooLongError):
    """Texts differ in length, and each can be encoded, and denoised with, on its own."""


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
        :func:`.sampling.encode_each`.
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

    def adapted(self, changes: Mapping[str, Change]) -> AbstractContextManager[None]:
        """Within the context :meth:`predict_noise` computes with ``W + up @ down`` for the weights named, or with
        ``W + change`` where a change is given whole.

        Gradients reach the factors or the change; a backward pass may run after the context is left. What a pass holds
        for it beyond activations is one copy of each weight named. Factors of zeros leave the prediction bit-identical
        (where the model computes at float32). Contexts nest, their changes add up; all is undone on any exit. The
        answers of :meth:`key_value_weights` stay those of the model itself.

        Raises ``ValueError`` for names that are not among :meth:`attention_weights` and factors that do not fit.
        """
        ...
