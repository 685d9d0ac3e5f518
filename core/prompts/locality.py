"""How local the attention to a word is: a dial from one place to the whole picture, word by word.

Inspired by AILA (arXiv 2511.03559), which trains a language model with a penalty whose weight is the dial. No such
model can be had for pictures. What transfers is the dial and what the paper reports (:mod:`.locality_measures`), on the
attention of cells to the text while a picture is sampled.

The form is ours. With attention a of cells to tokens and a dial d of -1..1 for each word::

    d > 0:  a' ~ a ((1 - d) + d B) ,   B = (n / max of all words' n)^sharpness   in each cell
    d < 0:  a' ~ (1 + d) a - d mean over cells of a

n is the map of a phrase's last word, the thing itself, stretched to a maximum of 1: so *red* of *a red cat* is kept to
where *cat* leads. A mask takes the place of B where one is given. All that a cell reads of the text stays as much
as it was: one in cross-attention, and in joint attention of transformers what the picture leaves to the text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.probabilities import attend, column_shares
from ..attention.resize import mask_on
from ..backbone import AttentionInputs
from ..compose.composer import Composer, ComposeSettings, Run, Share
from ..compose.composition import Composition, Region
from ..settings import setting

TINY = 1e-12


@dataclass(frozen=True)
class LocalitySettings(ComposeSettings):
    """How the dial acts; each field's help is in its metadata."""

    dials: tuple[float, ...] = setting((), "The dial of each word, -1 to 1; 0 leaves a word as it is.")
    sharpness: float = setting(2.0, "Power of a word's lead over others in a cell; higher keeps it to fewer cells.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(-1 <= dial <= 1 for dial in self.dials):
            raise ValueError(f"a dial must lie from -1 to 1, got {', '.join(f'{dial:g}' for dial in self.dials)}")
        if not self.sharpness > 0:
            raise ValueError(f"sharpness must be above 0, got {self.sharpness:g}")

    @property
    def cost(self) -> str:
        return "attention to the text is computed twice in every layer"


@dataclass(frozen=True, eq=False)
class Word:
    """A word with its dial.

    Attributes:
        places: positions of its tokens.
        subject: those of its last word.
        dial: -1..1.
        mask: (h, w) in 0..1 where it shall be; None where its own map says.
    """

    places: tuple[int, ...]
    subject: tuple[int, ...]
    dial: float
    mask: Tensor | None = None


def localised(attention: Tensor, words: Sequence[Word], grid: tuple[int, int], sharpness: float) -> Tensor:
    """Attention (B, heads, N, L) of cells to tokens with the dials in force; each row adds up to what it did.

    Args:
        attention: 0 or more.
        words: whose attention changes.
        grid: (h, w) of the N cells.
        sharpness: see :class:`LocalitySettings`.
    """
    leads = _leads(attention, words, grid, sharpness)  # (B, W, N)
    factor, spread = torch.ones_like(attention), torch.zeros_like(attention)
    for number, word in enumerate(words):
        places = list(word.places)
        if word.dial > 0:
            kept = (1 - word.dial) + word.dial * leads[:, number]  # (B, N)
            factor[..., places] = kept[:, None, :, None].to(factor.dtype)
        elif word.dial < 0:
            even = attention[..., places].mean(2, keepdim=True)  # (B, heads, 1, n)
            factor[..., places] = 1 + word.dial
            spread[..., places] = -word.dial * even
    changed = attention * factor + spread
    total = attention.sum(-1, keepdim=True)  # (B, heads, N, 1)
    return changed * (total / changed.sum(-1, keepdim=True).clamp_min(TINY))


def _leads(attention: Tensor, words: Sequence[Word], grid: tuple[int, int], sharpness: float) -> Tensor:
    """(B, W, N) in 0..1, B of each word in each cell: its mask, or how far it leads; 1 where it is the first."""
    mean = attention.float().mean(1)  # (B, N, L)
    maps = torch.stack([mean[..., list(word.subject or word.places)].sum(-1) for word in words], 1)  # (B, W, N)
    tall = maps / maps.amax(-1, keepdim=True).clamp_min(TINY)
    leads = (tall / tall.amax(1, keepdim=True).clamp_min(TINY) if len(words) > 1 else tall) ** sharpness
    for number, word in enumerate(words):
        if word.mask is not None:
            leads[:, number] = mask_on(word.mask, grid).flatten().to(leads)
    return leads


def words_with_dials(composition: Composition, dials: Sequence[float]) -> list[Word]:
    """The composition's regions with a dial each. Raises ``ValueError`` for another number of dials."""
    if len(dials) != len(composition.regions):
        raise ValueError(f"there are {len(composition.regions)} words and {len(dials)} dials")

    def word(region: Region, dial: float) -> Word:
        return Word(region.words, region.subject, dial, region.mask)

    return [word(region, dial) for region, dial in zip(composition.regions, dials, strict=True)]


Seen = Callable[[AttentionInputs, Tensor, Tensor], None]
"""Called with a layer, its attention (B, heads, N, L) and what became of it."""


def begin(composition: Composition, settings: LocalitySettings, share: Share, seen: Seen | None = None) -> Run:
    """One sampling run. Where all dials are 0 the model's own output stays bit for bit."""
    words = words_with_dials(composition, settings.dials)
    if not any(settings.dials) and seen is None:
        return Run()

    def edit(inputs: AttentionInputs) -> Tensor | None:
        call = inputs.call
        if not reads_text(inputs) or not inputs.conditional or not settings.acts(share(call.timestep)):
            return None
        before = of_text(inputs)
        after = localised(before, words, call.grid, settings.sharpness)
        if seen is not None:
            seen(inputs, before, after)
        return with_text(inputs, before, after) if any(settings.dials) else None

    return Run(edit)


def reads_text(inputs: AttentionInputs) -> bool:
    """Whether a layer's cells read the text: cross-attention, and joint attention."""
    return inputs.call.site.kind != "self"


def of_text(inputs: AttentionInputs) -> Tensor:
    """Attention (B, heads, N, L) of the picture's cells to the L positions of the conditioning. In a joint layer the
    softmax runs over the picture, too, so that a row adds up to less than one."""
    call, text = inputs.call, inputs.text
    if text is None:
        return column_shares(call.query, call.key, call.scale, list(range(call.key.shape[2])), call.bias)
    rows = call.columns or slice(None)
    bias = call.bias[..., rows, :] if call.bias is not None and call.bias.shape[-2] > 1 else call.bias
    return column_shares(call.query[:, :, rows], call.key, call.scale, list(range(text.start, text.stop)), bias)


def with_text(inputs: AttentionInputs, before: Tensor, after: Tensor) -> Tensor:
    """The output (B, heads, R, d) of a layer whose cells read the text as ``after`` in place of ``before``; rows of a
    joint layer that are no cells keep theirs."""
    call, value, text = inputs.call, inputs.value, inputs.text
    if text is None:
        return (after @ value.float()).to(value.dtype)
    own = attend(call.query, call.key, value, call.scale, call.bias)  # (B, heads, R, d)
    changed, rows = own.clone(), call.columns or slice(None)
    changed[:, :, rows] += ((after - before) @ value[:, :, text].float()).to(own.dtype)  # (B, heads, N, d)
    return changed


COMPOSER = Composer(
    name="locality",
    title="Attention Locality",
    help="Keeps the attention to each word to one place, or spreads it over the picture.",
    presets={"paper": LocalitySettings(), "small": LocalitySettings()},
    begin=begin,
    needs=("words",),
    least_named=1,
)
"""Not among the methods of Compose Concepts: its dials belong to words."""
