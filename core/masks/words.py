"""AttenCraft's masks: where words lie in a picture, read from the model's own attention.

"AttenCraft: Attention-guided Disentanglement of Multiple Concepts for Text-to-Image Customization",
arXiv 2405.17965. The model denoises the picture once with a sentence that names the words: the cross-attention of each
word is spread along self-attention, and a cell belongs to the word that leads all others by a margin; the start-of-text
token stands for the background. Published for two words; here any number. Most transformers read text without such a
token: there the background is what no word reaches, 1 less the relevance of the word that leads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.record import AttentionRecorder
from ..attention.resize import resize_maps
from ..attention.selection import Grid, Selection
from ..attention.stretch import minmax
from ..attention.words import count_words, places_in_order, spelling
from ..backbone import AttentionSite, Backbone, Conditioning, Placeholders
from ..devices import exact_device
from ..messages import shown
from ..schedule import timestep_of_noise
from ..types import Outline


@dataclass(frozen=True)
class WordSettings:
    """How masks of words are found; the defaults are the paper's, made for latents of 64x64 cells.

    Attributes:
        timesteps: span that the noise level is drawn from, as shares of all (0 is clean).
        noise: share of noise in the picture, 0..1, instead of a timestep out of the span; None draws one.
        layers: names of the attention layers that are read; None reads all.
        self_layers: those whose self-attention is followed; None for ``layers``.
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
    noise: float | None = None
    layers: tuple[str, ...] | None = None
    self_layers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        low, high = self.timesteps
        if not 0 <= low < high <= 1:
            raise ValueError(f"timesteps must be a span within 0..1, got {self.timesteps}")
        if self.noise is not None and not 0 <= self.noise <= 1:
            raise ValueError(f"noise is a share of noise in the picture, 0..1, got {self.noise}")
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
    "small": WordSettings(draws=4, cross_downscale=None, self_downscale=None, outline="edges", affinity_power=1),
}
"""``paper`` for latents of about 64x64 cells, ``small`` for the lab model's 16x16.

On 16x16 cells four steps of self-attention blur one thing into another, and words lose their cells.
"""


@dataclass(frozen=True, eq=False)
class WordAttention:
    """What the model's attention says of the words.

    Attributes:
        cross: (K, h, w) attention to each of K groups of tokens.
        affinity: (h*w, h*w) mean self-attention, rows sum to 1.
        background: whether the last group stands for the background; otherwise that is what no group reaches.
    """

    cross: Tensor
    affinity: Tensor
    background: bool = True


@dataclass(frozen=True, eq=False)
class WordMasks:
    """Masks that words got.

    Attributes:
        masks: (K, h, w) bool, disjoint; the last is the background, empty only where no token stands for it.
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
    groups = len(relevance)
    if not attention.background:
        relevance = torch.cat([relevance, 1 - relevance.amax(0, keepdim=True)])  # (K + 1, h, w)
    masks = leading(relevance, settings.margin, settings.fill)
    order = matched(relevance[:groups], masks[:groups])  # a background of its own may be empty
    distinct = sorted(order) == list(range(groups))
    if distinct:
        masks = torch.cat([masks[:groups][torch.tensor(order).argsort().to(masks.device)], masks[groups:]])
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
    is the last group, where the model has one."""
    text = settings.template.replace("{}", " and ".join(words))
    read = backbone.tokenize(text, placeholders)
    spelt = [spelling(backbone.tokenize(word, placeholders)) for word in words]
    before = count_words(backbone.tokenize(settings.template.partition("{}")[0]))
    groups = list(places_in_order(read, spelt, before))
    if read.start is not None:
        groups.append((read.start,))
    conditioning = backbone.encode_text([text], placeholders)

    def passes() -> None:
        for _ in range(settings.draws):
            _denoise(backbone, latent, conditioning, settings, generator)

    size = (latent.shape[-2], latent.shape[-1])
    return attention_in(passes, backbone, size, groups, settings, read.start is not None)


def attention_in(
    passes: Callable[[], None],
    backbone: Backbone,
    size: Grid,
    groups: Sequence[Sequence[int]],
    settings: WordSettings,
    background: bool,
) -> WordAttention:
    """What attention says of groups of tokens in some passes.

    Args:
        passes: asks the model with one latent of ``size`` and one text, once or more.
        backbone: the model.
        size: (h, w) of the latent.
        groups: positions of each group in that text.
        settings: grids and layers.
        background: see :class:`WordAttention`.
    """
    layers, followed = settings.layers, settings.self_layers or settings.layers
    sites = [site for site in backbone.attention_sites() if layers is None or site.name in layers]
    own = [site for site in backbone.attention_sites() if followed is None or site.name in followed]
    grid = self_grid(own, size, settings)
    cross_recorder = AttentionRecorder(Selection(("cross",), grids=cross_grids(sites, size, settings), sites=layers))
    self_recorder = AttentionRecorder(Selection(("self",), grids=(grid,), sites=followed))
    with cross_recorder.recording(backbone), self_recorder.recording(backbone):
        passes()
    cross = cross_recorder.maps()
    maps = torch.stack([resize_maps(found, grid, "bicubic")[0] for found in cross.cross.values()])  # (grids, L, h, w)
    weights = torch.tensor(list(cross.cross_counts.values()), device=maps.device, dtype=maps.dtype)
    mean = (maps * weights.view(-1, 1, 1, 1)).sum(0) / weights.sum()  # (L, h, w)
    affinity = self_recorder.maps().self_attention[grid][0]  # (h*w, h*w)
    if any(site.kind == "joint" for site in sites):
        affinity = affinity / affinity.sum(1, keepdim=True)  # the picture's share of a row alone
    seen = torch.stack([mean[list(group)].amax(0) for group in groups])  # (K, h, w)
    return WordAttention(seen, affinity, background)


def spread(cross: Tensor, affinity: Tensor, cross_power: float = 2.0, affinity_power: int = 4) -> Tensor:
    """How much each cell belongs to each group: ``mm(mm(S)^p)`` applied to ``mm(C^q)``, mm stretching to 0..1.

    Args:
        cross: (K, h, w).
        affinity: (h*w, h*w), S.

    Returns:
        (K, h, w) in 0..1.
    """
    # The largest entries of high powers leave float32, so each product is stretched anew: mm ignores scale.
    home, where = cross.device, exact_device(cross.device)
    affinity, cross = affinity.to(where), cross.to(where)
    reach = minmax(torch.linalg.matrix_power(minmax(affinity.double()), affinity_power))  # (h*w, h*w)
    known = torch.stack([minmax(one.double() ** cross_power) for one in cross]).flatten(1)  # (K, h*w)
    return torch.stack([minmax(row) for row in known @ reach.T]).view(cross.shape).to(cross.dtype).to(home)


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
    """The grid of self-attention that masks lie on. Raises ``ValueError`` when the model has none.

    A model whose attention all lies on one grid, as a transformer's does, has it there.
    """
    own = [site for site in sites if site.reads("self")]
    wanted, single = settings.self_downscale, len({site.downscale for site in own}) == 1
    if not single and wanted is not None:
        own = [site for site in own if site.downscale == wanted]
    grids = {site.grid(size) for site in own}
    affordable = [grid for grid in grids if grid[0] * grid[1] <= settings.max_cells]
    fitting = affordable if wanted is None and not single else list(grids)
    if not fitting:
        raise ValueError(f"the model has no self-attention at 1/{wanted or 'n'} of a latent of {size} that fits")
    return max(fitting, key=lambda grid: grid[0] * grid[1])


def cross_grids(sites: Sequence[AttentionSite], size: Grid, settings: WordSettings) -> tuple[Grid, ...]:
    """The grids of cross-attention that are read. Raises ``ValueError`` when the model has none.

    A model whose attention all lies on one grid, as a transformer's does, is read there.
    """
    cross = [site for site in sites if site.reads("cross")]
    scales = {site.downscale for site in cross}
    if settings.cross_downscale is not None and len(scales) > 1:
        chosen = {site.grid(size) for site in cross if site.downscale == settings.cross_downscale}
    else:
        grids = {site.grid(size) for site in cross}
        chosen = {grid for grid in grids if min(grid) >= settings.cross_least_side} or set(sorted(grids)[-1:])
    if not chosen:
        raise ValueError(
            f"no cross-attention at 1/{settings.cross_downscale} of the latent; there is 1/n, n in {sorted(scales)}"
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
    timestep = torch.randint(low, max(high, low + 1), (1,), generator=generator)
    if settings.noise is not None:
        timestep = timestep_of_noise(schedule, settings.noise)
    timestep = timestep.to(latent.device)
    noise = torch.randn(latent.shape, generator=generator).to(latent)
    backbone.predict_noise(schedule.add_noise(latent, noise, timestep), timestep, conditioning)
