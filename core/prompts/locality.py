"""How local the attention to a word is: a dial from one place to the whole picture, word by word.

Inspired by AILA (arXiv 2511.03559), which trains a language model with a penalty whose weight is the dial, and reports
the entropy ``H = -sum_j a_j log2 a_j`` of attention and its pointer fidelity, ``sum_{j in target} a_j``. No such model
can be had for pictures. What transfers is the dial and both measures, on cross-attention while a picture is sampled.

The form is ours. With attention a of cells to tokens and a dial d of -1..1 for each word::

    d > 0:  a' ~ a ((1 - d) + d B) ,   B = (n / max of all words' n)^sharpness   in each cell
    d < 0:  a' ~ (1 + d) a - d mean over cells of a

n is the map of a phrase's last word, the thing itself, stretched to a maximum of 1: so *red* of *a red cat* is kept to
where *cat* leads. A mask takes the place of B where one is given. Attention of a cell adds up to one again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attention.resize import mask_on
from ..backbone import AttentionInputs, Backbone
from ..compose.composer import Composer, ComposeSettings, Run, Share, share_of
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
    """Attention (B, heads, N, L) of cells to tokens with the dials in force; each row adds up to one.

    Args:
        attention: each row adds up to one.
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
    return changed / changed.sum(-1, keepdim=True).clamp_min(TINY)


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


def entropy(maps: Tensor) -> Tensor:
    """H in bits (...) of maps (..., N) of any scale, 0 or more."""
    shares = maps / maps.sum(-1, keepdim=True).clamp_min(TINY)
    return -(shares * shares.clamp_min(TINY).log2()).sum(-1)


def pointer_fidelity(maps: Tensor, target: Tensor) -> Tensor:
    """The share (...) of maps (..., N) that lies in a target (N,) in 0..1."""
    return (maps * target).sum(-1) / maps.sum(-1).clamp_min(TINY)


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
        if call.kind != "cross" or not inputs.conditional or not settings.acts(share(call.timestep)):
            return None
        logits = call.query.float() @ call.key.float().transpose(-1, -2) * call.scale  # (B, heads, N, L)
        before = (logits if call.bias is None else logits + call.bias).softmax(-1)
        after = localised(before, words, call.grid, settings.sharpness)
        if seen is not None:
            seen(inputs, before, after)
        if not any(settings.dials):
            return None
        return (after @ inputs.value.float()).to(inputs.value.dtype)  # (B, heads, N, d)

    return Run(edit)


COMPOSER = Composer(
    name="locality",
    title="Attention Locality",
    help="Keeps the attention to each word to one place, or spreads it over the picture.",
    presets={"paper": LocalitySettings(), "small": LocalitySettings()},
    begin=begin,
    needs=("words",),
    least_named=1,
    unets_only=True,
)
"""Not among the methods of Compose Concepts: its dials belong to words."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the dial does to each of W words, mean over layers and noise levels.

    Attributes:
        before: (W,) bits of entropy.
        after: (W,) the same with the dials.
        even: bits of attention that is the same everywhere.
        fidelity: (W, 2) shares inside the words' masks, without and with the dials; NaN for words without.
    """

    before: Tensor
    after: Tensor
    even: float
    fidelity: Tensor


@torch.no_grad()
def measure(
    backbone: Backbone,
    latent: Tensor,
    composition: Composition,
    settings: LocalitySettings,
    levels: int = 3,
    seed: int = 0,
) -> Measured:
    """Read a picture's latent (1, C, h, w) with noise of several levels. The dials are in force at each of them,
    whatever part of denoising they are set to act in.

    Raises ``ValueError`` for no levels.
    """
    if levels < 1:
        raise ValueError(f"levels must be 1 or more, got {levels}")
    words = words_with_dials(composition, settings.dials)
    generator, schedule = torch.Generator().manual_seed(seed), backbone.schedule
    bits: list[Tensor] = []
    inside: list[Tensor] = []
    evens: list[float] = []

    def seen(inputs: AttentionInputs, before: Tensor, after: Tensor) -> None:
        maps = torch.stack([_maps(words, one) for one in (before, after)])  # (2, W, N)
        bits.append(entropy(maps))
        nothing = torch.full_like(maps[0, 0], float("nan"))
        targets = [nothing if w.mask is None else mask_on(w.mask, inputs.call.grid).flatten().to(maps) for w in words]
        inside.append(torch.stack([pointer_fidelity(maps[:, at], target) for at, target in enumerate(targets)], 1))
        evens.append(float(torch.tensor(float(maps.shape[-1])).log2()))

    always = replace(settings, start=0.0, end=1.0)
    edit = begin(composition, always, share_of(schedule.steps), seen).edit
    with backbone.edit_attention(edit):
        for share in torch.linspace(0.2, 0.8, levels).tolist():
            time = torch.tensor([round(share * (schedule.steps - 1))], device=latent.device)
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            backbone.predict_noise(schedule.add_noise(latent, noise, time), time, composition.conditioning)
    mean, held = torch.stack(bits).mean(0).cpu(), torch.stack(inside).mean(0).cpu()  # (2, W) each
    return Measured(mean[0], mean[1], sum(evens) / max(len(evens), 1), held.T)


def _maps(words: Sequence[Word], attention: Tensor) -> Tensor:
    """(W, N) head means of the words' attention."""
    mean = attention.mean((0, 1))  # (N, L)
    return torch.stack([mean[:, list(word.places)].sum(-1) for word in words])
