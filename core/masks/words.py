"""AttenCraft's masks: where the words that are named lie in a picture, told by the model's own attention.

"AttenCraft: Attention-guided Disentanglement of Multiple Concepts for Text-to-Image Customization",
arXiv 2405.17965. One noisy look at the picture with a sentence that names the words: the cross-attention of each is
spread along self-attention, and a cell belongs to the word that leads all others by a margin; the start-of-text token
stands for the background. Published for two words; here any number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attention.record import AttentionRecorder
from ..attention.resize import resize_maps
from ..attention.selection import Grid, Selection
from ..attention.words import find_word
from ..backbone import AttentionSite, Backbone, Conditioning, Placeholders
from ..localize.methods.conceptexpress import check_picture
from ..localize.parts.saliency import minmax
from ..localize.parts.stages import saliency_scores
from ..schedule import add_noise
from ..types import Concepts, Outline
from .edit import check_name
from .from_masks import attention_targets
from .upsample import covered_size


@dataclass(frozen=True)
class WordSettings:
    """Settings of :func:`localize_words`; the defaults are the paper's, made for latents of 64x64 cells.

    Attributes:
        timesteps: span that the noise level is drawn from, as shares of all (0 is clean).
        draws: looks whose attention is averaged.
        template: the sentence; ``{}`` is where the words go, joined by "and".
        cross_downscale: latent cells per cell of the cross-attention grid that is read; None reads every grid of at
            least ``cross_least_side`` cells along the shorter side.
        cross_least_side: see ``cross_downscale``.
        self_downscale: latent cells per cell of the self-attention grid, on which the masks lie; None takes the finest
            grid of at most ``most_cells`` cells.
        most_cells: see ``self_downscale``; n cells need n x n numbers.
        cross_power: cross-attention is raised to this power before it is spread.
        affinity_power: how often self-attention is followed (matrix power).
        margin: by how much a word must lead in a cell, of 1.
        fill: give cells without a leader to the one that leads by less.
        outline: how masks are drawn in the picture's size, see :class:`~.settings.LocalizeSettings`.
        tries: new noise levels when a word is left without a cell; in the last half of them the margin is 0.
    """

    timesteps: tuple[float, float] = (0.0, 0.3)
    draws: int = 1
    template: str = "a photo of {}"
    cross_downscale: int | None = 4
    cross_least_side: int = 8
    self_downscale: int | None = 2
    most_cells: int = 32 * 48
    cross_power: float = 2.0
    affinity_power: int = 4
    margin: float = 0.1
    fill: bool = False
    tries: int = 4
    outline: Outline = "smooth"

    def __post_init__(self) -> None:
        low, high = self.timesteps
        if not 0 <= low < high <= 1:
            raise ValueError(f"timesteps must be a span within 0..1, got {self.timesteps}")
        if min(self.draws, self.tries, self.cross_least_side, self.most_cells) < 1:
            raise ValueError("draws, tries, cross_least_side and most_cells must be at least 1")
        if self.affinity_power < 0 or not self.cross_power > 0 or not 0 <= self.margin < 1:
            raise ValueError("affinity_power must be 0 or more, cross_power above 0, margin from 0 to below 1")
        if self.template.count("{}") != 1:
            raise ValueError(f"a template needs exactly one {{}} where the words go, got {self.template!r}")


PRESETS: Mapping[str, WordSettings] = {
    "paper": WordSettings(),
    "small_grid": WordSettings(draws=4, cross_downscale=None, self_downscale=None, outline="edges"),
}
"""``paper`` for latents of about 64x64 cells, ``small_grid`` for the lab model's 16x16."""


@dataclass(frozen=True)
class Sight:
    """What the model's attention says of the words.

    Attributes:
        cross: (K, h, w) attention to each of K groups of tokens.
        affinity: (h*w, h*w) mean self-attention, rows sum to 1.
    """

    cross: Tensor
    affinity: Tensor


@dataclass(frozen=True)
class WordMasks:
    """Masks that words got.

    Attributes:
        masks: (K, h, w) bool, disjoint; the last is the background.
        relevance: (K, h, w) in 0..1, how much each cell belongs to each.
        affinity: (h*w, h*w), rows sum to 1.
        distinct: whether every group has a mask of its own.
        notes: what had to be decided, for people.
    """

    masks: Tensor
    relevance: Tensor
    affinity: Tensor
    distinct: bool
    notes: tuple[str, ...] = ()


def localize_words(
    backbone: Backbone, picture: Tensor, words: Sequence[str], settings: WordSettings | None = None, seed: int = 0
) -> Concepts:
    """The places of words in a picture, as concepts named by them (spaces become ``-``).

    Args:
        backbone: needs its picture encoder, text encoder and denoiser.
        picture: (1, 3, H, W) in 0..1.
        words: N words or phrases that differ, each for one thing there; a phrase counts as its strongest token.
        settings: see :class:`WordSettings`; None is the paper's.
        seed: of noise levels and noise.

    Returns:
        N concepts in the order given, targets from self-attention, scores the mean relevance inside over the mean.

    Raises ``ValueError`` for no words, words that are alike or cannot name a concept, a model without a start token or
    without the layers asked for, and words that get no cell whatever is tried, naming them.
    """
    settings = settings or WordSettings()
    check_picture(picture)
    names = _names(words)
    latent = backbone.encode_image(picture)
    found = find_words(backbone, latent, words, settings, torch.Generator().manual_seed(seed))
    masks = found.masks[:-1]
    scores = torch.stack([saliency_scores(m[None], r)[0] for m, r in zip(masks, found.relevance, strict=False)])
    size = (picture.shape[-2], picture.shape[-1])
    return Concepts(
        masks=masks,
        targets=attention_targets(masks, found.affinity),
        names=names,
        scores=scores,
        picture_size=size,
        notes=found.notes,
        covered=covered_size(size, backbone.latent_downscale),
        outline=settings.outline,
    )


@torch.no_grad()
def find_words(
    backbone: Backbone, latent: Tensor, words: Sequence[str], settings: WordSettings, generator: torch.Generator
) -> WordMasks:
    """Masks of words in a latent (1, C, h, w): new noise levels until each has a cell; raises as
    :func:`localize_words` does."""
    lost: tuple[str, ...] = ()
    for attempt in range(settings.tries):
        margin = settings.margin if attempt < (settings.tries + 1) // 2 else 0.0
        found = masks_of(look(backbone, latent, words, settings, generator), replace(settings, margin=margin))
        if found.distinct:
            notes = (f"masks were found at look {attempt + 1}, with margin {margin:g}",) if attempt else ()
            return replace(found, notes=notes)
        empty = [not bool(mask.any()) for mask in found.masks]
        lost = tuple(word for word, none in zip([*words, "the background"], empty, strict=True) if none)
    raise ValueError(
        f"no place was found for {', '.join(lost) or 'words that fall together'} in {settings.tries} looks: the model "
        "does not see it in this picture; use another word or other noise levels, or draw the mask"
    )


def masks_of(sight: Sight, settings: WordSettings) -> WordMasks:
    """Masks from one look, each with the group that its region matches best."""
    relevance = spread(sight.cross, sight.affinity, settings.cross_power, settings.affinity_power)
    masks = leading(relevance, settings.margin, settings.fill)
    order = matched(relevance, masks)
    distinct = sorted(order) == list(range(len(masks)))
    if distinct:
        masks = masks[torch.tensor(order).argsort().to(masks.device)]
    return WordMasks(masks.cpu(), relevance.cpu(), sight.affinity.cpu(), distinct)


@torch.no_grad()
def look(
    backbone: Backbone,
    latent: Tensor,
    words: Sequence[str],
    settings: WordSettings,
    generator: torch.Generator,
    placeholders: Placeholders | None = None,
) -> Sight:
    """Show a noisy latent (1, C, h, w) to the model with the sentence that names the words; the background's token is
    the last group."""
    text = settings.template.replace("{}", " and ".join(words))
    read = backbone.tokenize(text, placeholders)
    if read.start is None:
        raise ValueError("the model has no start-of-text token, which stands for the background here")
    groups = [*(find_word(read, word)[0] for word in words), (read.start,)]
    size, sites = (latent.shape[-2], latent.shape[-1]), backbone.attention_sites()
    grid = self_grid(sites, size, settings)
    crossing = AttentionRecorder(Selection(kinds=("cross",), grids=cross_grids(sites, size, settings)))
    looking = AttentionRecorder(Selection(kinds=("self",), grids=(grid,)))
    conditioning = backbone.encode_text([text], placeholders)
    with crossing.listening(backbone), looking.listening(backbone):
        for _ in range(settings.draws):
            _show(backbone, latent, conditioning, settings, generator)
    cross = crossing.maps()
    maps = torch.stack([resize_maps(found, grid, "bicubic")[0] for found in cross.cross.values()])
    weights = torch.tensor(list(cross.cross_counts.values()), device=maps.device, dtype=maps.dtype)
    mean = (maps * weights.view(-1, 1, 1, 1)).sum(0) / weights.sum()
    affinity = looking.maps().self_attention[grid][0]
    return Sight(torch.stack([mean[list(group)].amax(0) for group in groups]), affinity)


def spread(cross: Tensor, affinity: Tensor, cross_power: float = 2.0, affinity_power: int = 4) -> Tensor:
    """How much each cell belongs to each group: ``mm(mm(S)^p)`` applied to ``mm(C^q)``, mm stretching to 0..1.

    Args:
        cross: (K, h, w).
        affinity: (h*w, h*w), S.

    Returns:
        (K, h, w) in 0..1.
    """
    # The largest entries of high powers leave float32, so each product is stretched anew: mm ignores scale.
    reach = minmax(torch.linalg.matrix_power(minmax(affinity.double()), affinity_power))
    known = torch.stack([minmax(one.double() ** cross_power) for one in cross]).flatten(1)
    return torch.stack([minmax(row) for row in known @ reach.T]).view(cross.shape).to(cross.dtype)


def leading(relevance: Tensor, margin: float, fill: bool = False) -> Tensor:
    """(K, h, w) bool: the cells in which each of K leads all others by more than the margin; ``fill``: by any lead."""
    best, second = relevance.topk(2, dim=0).values
    first = relevance.argmax(0)
    ahead = torch.ones_like(best, dtype=torch.bool) if fill else best - second > margin
    return (first[None] == torch.arange(len(relevance), device=first.device)[:, None, None]) & ahead


def matched(relevance: Tensor, masks: Tensor) -> list[int]:
    """For each mask the group with the largest sum of relevance inside; an empty mask has none (-1)."""
    sums = masks.flatten(1).to(relevance.dtype) @ relevance.flatten(1).T
    return [int(row.argmax()) if row.max() > 0 else -1 for row in sums]


def self_grid(sites: Sequence[AttentionSite], size: Grid, settings: WordSettings) -> Grid:
    """The grid of self-attention that masks lie on. Raises ``ValueError`` when the model has none."""
    own = [site for site in sites if site.kind == "self"]
    wanted = settings.self_downscale
    if wanted is not None:
        own = [site for site in own if site.downscale == wanted]
    grids = {site.grid(size) for site in own}
    fitting = [grid for grid in grids if grid[0] * grid[1] <= settings.most_cells] if wanted is None else list(grids)
    if not fitting:
        raise ValueError(f"the model has no self-attention at 1/{wanted or 'n'} of a latent of {size} that fits")
    return max(fitting, key=lambda grid: grid[0] * grid[1])


def cross_grids(sites: Sequence[AttentionSite], size: Grid, settings: WordSettings) -> tuple[Grid, ...]:
    """The grids of cross-attention that are read. Raises ``ValueError`` when the model has none."""
    cross = [site for site in sites if site.kind == "cross"]
    if settings.cross_downscale is not None:
        chosen = {site.grid(size) for site in cross if site.downscale == settings.cross_downscale}
    else:
        grids = {site.grid(size) for site in cross}
        chosen = {grid for grid in grids if min(grid) >= settings.cross_least_side} or {max(grids)}
    if not chosen:
        there = sorted({site.downscale for site in cross})
        raise ValueError(
            f"no cross-attention at 1/{settings.cross_downscale} of the latent; there is 1/n, n in {there}"
        )
    return tuple(chosen)


def _show(
    backbone: Backbone,
    latent: Tensor,
    conditioning: Conditioning,
    settings: WordSettings,
    generator: torch.Generator,
) -> None:
    alphas = backbone.alphas_cumprod
    low, high = (int(share * len(alphas)) for share in settings.timesteps)
    timestep = torch.randint(low, max(high, low + 1), (1,), generator=generator).to(latent.device)
    noise = torch.randn(latent.shape, generator=generator).to(latent)
    backbone.predict_noise(add_noise(latent, noise, timestep, alphas), timestep, conditioning)


def _names(words: Sequence[str]) -> tuple[str, ...]:
    names = tuple(check_name("-".join(word.lower().split())) for word in words)
    if not names:
        raise ValueError("name at least one word to look for")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)}: named twice; two of a kind cannot be told apart by a word")
    return names
