"""Maps of the same words by several ways of reading them, and how far these agree.

Attention (DAAM, Tang et al., arXiv 2210.04885) says where the model looks for a word; information (Kong et al., arXiv
2310.07972) where its prediction changes by it; concept attention (Helbling et al., arXiv 2502.04320) which concept a
part of the picture is most like. The mean of attention and information fits objects better than either (arXiv
2310.07972, table 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ..attention.record import AttentionRecorder
from ..attention.resize import mask_on, resize_maps
from ..attention.selection import Grid, Selection
from ..attention.sites import choose_sites
from ..attention.stretch import stretched
from ..attention.words import find_word
from ..backbone import Backbone, Placeholders
from ..messages import there_are
from ..settings import setting
from .agreement import correlations, overlaps, regions_of
from .concept_attention import ConceptBackbone, ConceptSettings, concept_heatmaps
from .heatmap import word_heatmaps
from .information import InformationSettings, word_information
from .read_picture import OnStep, read_picture

ATTENTION, INFORMATION, BOTH, CONCEPTS = "attention", "information", "both", "concepts"
KINDS = (ATTENTION, INFORMATION, BOTH, CONCEPTS)
"""Kinds of maps; ``both`` is the mean of attention and information, each stretched to its range."""


@dataclass(frozen=True)
class ReadingSettings:
    """How words are read in a picture; each field's help is in its metadata."""

    noise: float = setting(0.5, "Share of noise in the picture in which attention is read.")
    draws: int = setting(4, "Passes with other noise, whose attention is averaged.")
    levels: int = setting(25, "Levels of noise over which information is measured.")

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1 or self.draws < 1 or self.levels < 1:
            raise ValueError(
                f"noise lies in 0..1, draws and levels are 1 or more; got {self.noise:g}, {self.draws} and "
                f"{self.levels}"
            )


@dataclass(frozen=True, eq=False)
class Reading:
    """A picture and the text it is read with.

    Attributes:
        backbone: the model; for ``concepts`` one beside whose text concepts can run.
        latent: (1, C, h, w), without noise.
        text: says what the picture shows.
        size: (H, W) that maps are resized to.
        settings: how.
        background: words that stand for the rest of the picture where concepts are compared.
        seed: of all noise.
        placeholders: learnt tokens that the text names.
        sites: the layers whose attention is read; None leaves the choice to the model's family.
    """

    backbone: Backbone
    latent: Tensor
    text: str
    size: Grid
    settings: ReadingSettings = ReadingSettings()
    background: tuple[str, ...] = ("background",)
    seed: int = 0
    placeholders: Placeholders | None = None
    sites: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Maps of N words by K kinds.

    Attributes:
        words: N words.
        kinds: K of :data:`KINDS`.
        maps: (K, N, H, W), each stretched to 0..1.
        agreement: (N, K, K) Pearson's correlation over pixels of every two maps of a word.
        overlap: (K, N) intersection over union of a word's mask with the pixels above Otsu's threshold; None without
            masks.
    """

    words: tuple[str, ...]
    kinds: tuple[str, ...]
    maps: Tensor
    agreement: Tensor
    overlap: Tensor | None


def compare_words(
    reading: Reading,
    words: Sequence[str],
    kinds: Sequence[str] = (ATTENTION, INFORMATION, BOTH),
    masks: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Comparison:
    """Maps of words by several kinds, their agreement, and how they fit masks.

    Args:
        reading: the picture and its text.
        words: N words of the text.
        kinds: K of :data:`KINDS`, in the order that they are wanted in.
        masks: (N, h, w) or (1, h, w) for all words, in 0..1; None for none.
        on_step: called after every pass with the finished and the total number; what it raises ends the run.

    Raises ``ValueError`` for another number of masks, and as :func:`word_maps` does.
    """
    if masks is not None and len(masks) not in (1, len(words)):
        counts = there_are((len(words), "word"), (len(masks), "mask"))
        raise ValueError(f"{counts}; give one mask for each word, in the same order, or one for all words")
    maps = word_maps(reading, words, kinds, on_step)
    overlap = None
    if masks is not None:
        true = torch.stack([mask_on(mask.cpu(), reading.size) > 0.5 for mask in masks])  # (N or 1, H, W)
        overlap = overlaps(regions_of(maps), true)
    return Comparison(tuple(words), tuple(kinds), maps, correlations(maps), overlap)


def word_maps(reading: Reading, words: Sequence[str], kinds: Sequence[str], on_step: OnStep | None = None) -> Tensor:
    """(K, N, H, W) maps of N words by K kinds, each stretched to 0..1, on the CPU.

    Raises ``ValueError`` without words, for a word that is not in the text, for a kind that does not exist, and as
    :func:`~.concept_attention.concept_heatmaps` does.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"there is no kind of map {unknown[0]!r}; there are {', '.join(KINDS)}")
    if not words:
        raise ValueError("give at least one word")
    for word in words:
        find_word(
            reading.backbone.tokenize(reading.text, reading.placeholders), word
        )  # raises, and says which there are
    parts = [
        kind for kind in (ATTENTION, INFORMATION, CONCEPTS) if kind in kinds or (kind != CONCEPTS and BOTH in kinds)
    ]
    costs = {ATTENTION: reading.settings.draws, INFORMATION: reading.settings.levels, CONCEPTS: reading.settings.draws}
    done, total = 0, sum(costs[part] for part in parts)
    found: dict[str, Tensor] = {}
    for part in parts:
        maps = _READERS[part](reading, words, _after(on_step, done, total))
        found[part] = stretched(resize_maps(maps.float().cpu().clamp_min(0), reading.size, "bilinear"))  # (N, H, W)
        done += costs[part]
    if BOTH in kinds:
        found[BOTH] = stretched((found[ATTENTION] + found[INFORMATION]) / 2)
    return torch.stack([found[kind] for kind in kinds])


def _attention(reading: Reading, words: Sequence[str], on_step: OnStep | None) -> Tensor:
    """(N, H, W)."""
    backbone = reading.backbone
    recorder = AttentionRecorder(Selection(("cross",), sites=reading.sites or _default_sites(reading)))
    read_picture(
        backbone,
        reading.latent,
        reading.text,
        [recorder],
        noise=reading.settings.noise,
        draws=reading.settings.draws,
        seed=reading.seed,
        placeholders=reading.placeholders,
        on_step=on_step,
    )
    text = backbone.tokenize(reading.text, reading.placeholders)
    return word_heatmaps(recorder.maps(), text, words, reading.size)[:, 0]


def _information(reading: Reading, words: Sequence[str], on_step: OnStep | None) -> Tensor:
    """(N, h, w)."""
    return word_information(
        reading.backbone,
        reading.latent,
        reading.text,
        words,
        InformationSettings(draws=reading.settings.levels),
        seed=reading.seed,
        placeholders=reading.placeholders,
        on_step=on_step,
    )


def _concepts(reading: Reading, words: Sequence[str], on_step: OnStep | None) -> Tensor:
    """(N, h, w). A word that stands for the background as well is not compared with itself."""
    rest = [word for word in reading.background if word not in words]
    backbone = cast(ConceptBackbone, reading.backbone)
    found = concept_heatmaps(
        backbone,
        reading.latent,
        reading.text,
        [*words, *rest],
        ConceptSettings(reading.settings.noise, reading.settings.draws),
        placeholders=reading.placeholders,
        sites=None if reading.sites is None else [s for s in backbone.attention_sites() if s.name in reading.sites],
        seed=reading.seed,
        on_step=on_step,
    )
    return found[: len(words)]


_READERS = {ATTENTION: _attention, INFORMATION: _information, CONCEPTS: _concepts}


def _default_sites(reading: Reading) -> tuple[str, ...]:
    """Of the layers that the model's family reads, those whose grids are fine enough to show a thing."""
    family = {site.name for site in cast(ConceptBackbone, reading.backbone).default_sites()}
    fine = choose_sites(reading.backbone, (reading.latent.shape[-2], reading.latent.shape[-1]), None)
    return tuple(site.name for site in fine if site.name in family)


def _after(on_step: OnStep | None, done: int, total: int) -> OnStep | None:
    """Reports steps of a part as steps of the whole."""
    return None if on_step is None else lambda step, _: on_step(done + step, total)
