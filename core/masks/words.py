"""AttenCraft's masks: where words lie in a picture, read from the model's own attention.

"AttenCraft: Attention-guided Disentanglement of Multiple Concepts for Text-to-Image Customization",
arXiv 2405.17965. The model denoises the picture once with a sentence that names the words: the cross-attention of each
word is spread along self-attention, and a cell belongs to the word that leads all others by a margin; the start-of-text
token stands for the background. Published for two words; here any number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.record import AttentionRecorder
from ..attention.resize import resize_maps
from ..attention.selection import Grid, Selection
from ..attention.stretch import minmax
from ..attention.words import find_word, spelling
from ..backbone import AttentionSite, Backbone, Conditioning, Placeholders
from ..messages import shown
from ..types import Outline


@dataclass(frozen=True)
class WordSettings:
    """How masks of words are found; the defaults are the paper's, made for latents of 64x64 cells.

    Attributes:
        timesteps: span that the noise level is drawn from, as shares of all (0 is clean).
        draws: noisy passes whose attention is averaged.
        template: the sentence; ``{}`` is where the words go, joined by "and".
        cross_downscale: latent cells per cell of the cross-attention grid that is read; None reads every grid of at
            least ``cross_least_side`` cells along the shorter side.
        cross_least_side: see ``cross_downscale``.
        self_downscale: latent cells per cell of the self-attention grid, on which the masks lie; None takes the finest
            grid of at most ``max_cells`` cells.
        max_cells: see ``self_downscale``; n cells need n x n numbers.
        cross_power: cross-attention is raised to this power before it is spread.
        affinity_power: how often self-attention is followed (matrix power).
        margin: by how much a word must lead in a cell, of 1.
        fill: give cells without a leader to the one that leads by less.
        outline: how masks are drawn in the picture's size, see :class:`..types.Concepts`.
        tries: new noise levels when a word is left without a cell; in the last half of them the margin is 0.
    """

    timesteps: tuple[float, float] = (0.0, 0.3)
    draws: int = 1
    template: str = "a photo of {}"
    cross_downscale: int | None = 4
    cross_least_side: int = 8
    self_downscale: int | None = 2
    max_cells: int = 32 * 48
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
        if min(self.draws, self.tries, self.cross_least_side, self.max_cells) < 1:
            raise ValueError("draws, tries, cross_least_side and max_cells must be at least 1")
        if self.affinity_power < 0 or not self.cross_power > 0 or not 0 <= self.margin < 1:
            raise ValueError("affinity_power must be 0 or more, cross_power above 0, margin from 0 to below 1")
        if self.template.count("{}") != 1:
            raise ValueError(f"a template needs exactly one {{}} where the words go, got {shown(self.template)}")

    @property
    def cost(self) -> str:
        """What reading the words of a picture costs, for people."""
        passes = f"{self.draws} pass{'es' * (self.draws > 1)}"
        return f"{passes}, up to {self.tries} times when a word gets no cell" if self.tries > 1 else passes


PRESETS: Mapping[str, WordSettings] = {
    "paper": WordSettings(),
    "small": WordSettings(draws=4, cross_downscale=None, self_downscale=None, outline="edges"),
}
"""``paper`` for latents of about 64x64 cells, ``small`` for the lab model's 16x16."""


@dataclass(frozen=True, eq=False)
class WordAttention:
    """What the model's attention says of the words.

    Attributes:
        cross: (K, h, w) attention to each of K groups of tokens.
        affinity: (h*w, h*w) mean self-attention, rows sum to 1.
    """

    cross: Tensor
    affinity: Tensor


@dataclass(frozen=True, eq=False)
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


def masks_from_attention(attention: WordAttention, settings: WordSettings) -> WordMasks:
    """Masks from one reading of attention, each with the group that its region matches best."""
    relevance = spread(attention.cross, attention.affinity, settings.cross_power, settings.affinity_power)
    masks = leading(relevance, settings.margin, settings.fill)
    order = matched(relevance, masks)
    distinct = sorted(order) == list(range(len(masks)))
    if distinct:
        masks = masks[torch.tensor(order).argsort().to(masks.device)]
    return WordMasks(masks.cpu(), relevance.cpu(), attention.affinity.cpu(), distinct)


@torch.no_grad()
def read_word_attention(
    backbone: Backbone,
    latent: Tensor,
    words: Sequence[str],
    settings: WordSettings,
    generator: torch.Generator,
    placeholders: Placeholders | None = None,
) -> WordAttention:
    """The attention of words in a noisy latent (1, C, h, w) with the sentence that names them; the background's token
    is the last group."""
    text = settings.template.replace("{}", " and ".join(words))
    read = backbone.tokenize(text, placeholders)
    if read.start is None:
        raise ValueError("the model has no start-of-text token, which stands for the background here")
    spelt = [spelling(backbone.tokenize(word, placeholders)) for word in words]
    groups = [*(find_word(read, word)[0] for word in spelt), (read.start,)]
    size, sites = (latent.shape[-2], latent.shape[-1]), backbone.attention_sites()
    grid = self_grid(sites, size, settings)
    cross_recorder = AttentionRecorder(Selection(kinds=("cross",), grids=cross_grids(sites, size, settings)))
    self_recorder = AttentionRecorder(Selection(kinds=("self",), grids=(grid,)))
    conditioning = backbone.encode_text([text], placeholders)
    with cross_recorder.recording(backbone), self_recorder.recording(backbone):
        for _ in range(settings.draws):
            _denoise(backbone, latent, conditioning, settings, generator)
    cross = cross_recorder.maps()
    maps = torch.stack([resize_maps(found, grid, "bicubic")[0] for found in cross.cross.values()])  # (grids, L, h, w)
    weights = torch.tensor(list(cross.cross_counts.values()), device=maps.device, dtype=maps.dtype)
    mean = (maps * weights.view(-1, 1, 1, 1)).sum(0) / weights.sum()  # (L, h, w)
    affinity = self_recorder.maps().self_attention[grid][0]  # (h*w, h*w)
    return WordAttention(torch.stack([mean[list(group)].amax(0) for group in groups]), affinity)


def spread(cross: Tensor, affinity: Tensor, cross_power: float = 2.0, affinity_power: int = 4) -> Tensor:
    """How much each cell belongs to each group: ``mm(mm(S)^p)`` applied to ``mm(C^q)``, mm stretching to 0..1.

    Args:
        cross: (K, h, w).
        affinity: (h*w, h*w), S.

    Returns:
        (K, h, w) in 0..1.
    """
    # The largest entries of high powers leave float32, so each product is stretched anew: mm ignores scale.
    reach = minmax(torch.linalg.matrix_power(minmax(affinity.double()), affinity_power))  # (h*w, h*w)
    known = torch.stack([minmax(one.double() ** cross_power) for one in cross]).flatten(1)  # (K, h*w)
    return torch.stack([minmax(row) for row in known @ reach.T]).view(cross.shape).to(cross.dtype)  # (K, h, w)


def leading(relevance: Tensor, margin: float, fill: bool = False) -> Tensor:
    """(K, h, w) bool: the cells in which each of K leads all others by more than the margin; ``fill``: by any lead."""
    best, second = relevance.topk(2, dim=0).values  # (h, w) each
    first = relevance.argmax(0)  # (h, w), the number of the leading group
    ahead = torch.ones_like(best, dtype=torch.bool) if fill else best - second > margin  # (h, w)
    return (first[None] == torch.arange(len(relevance), device=first.device)[:, None, None]) & ahead


def matched(relevance: Tensor, masks: Tensor) -> list[int]:
    """For each mask the group with the largest sum of relevance inside; an empty mask has none (-1)."""
    sums = masks.flatten(1).to(relevance.dtype) @ relevance.flatten(1).T  # (masks, groups)
    return [int(row.argmax()) if row.max() > 0 else -1 for row in sums]


def self_grid(sites: Sequence[AttentionSite], size: Grid, settings: WordSettings) -> Grid:
    """The grid of self-attention that masks lie on. Raises ``ValueError`` when the model has none."""
    own = [site for site in sites if site.reads("self")]
    wanted = settings.self_downscale
    if wanted is not None:
        own = [site for site in own if site.downscale == wanted]
    grids = {site.grid(size) for site in own}
    fitting = [grid for grid in grids if grid[0] * grid[1] <= settings.max_cells] if wanted is None else list(grids)
    if not fitting:
        raise ValueError(f"the model has no self-attention at 1/{wanted or 'n'} of a latent of {size} that fits")
    return max(fitting, key=lambda grid: grid[0] * grid[1])


def cross_grids(sites: Sequence[AttentionSite], size: Grid, settings: WordSettings) -> tuple[Grid, ...]:
    """The grids of cross-attention that are read. Raises ``ValueError`` when the model has none."""
    cross = [site for site in sites if site.reads("cross")]
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


def _denoise(
    backbone: Backbone,
    latent: Tensor,
    conditioning: Conditioning,
    settings: WordSettings,
    generator: torch.Generator,
) -> None:
    schedule = backbone.schedule
    low, high = (int(share * schedule.steps) for share in settings.timesteps)
    timestep = torch.randint(low, max(high, low + 1), (1,), generator=generator).to(latent.device)
    noise = torch.randn(latent.shape, generator=generator).to(latent)
    backbone.predict_noise(schedule.add_noise(latent, noise, timestep), timestep, conditioning)
