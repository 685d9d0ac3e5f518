"""Words drawn by the original and by the erased model from the same noise: what is gone, and what stayed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..backbone import Backbone, Placeholders
from ..erase.guards.guard import Guarding
from ..evaluate.prototypes import prototype_of
from ..evaluate.similarity import unit
from ..evaluate.styles import LEAST_SIDE, style_distance, style_spread, styles_of
from ..messages import listed
from .detector import Features, least_likeness
from .figures import Figure
from .parts.drawing import draw
from .parts.settings import AttackSettings
from .parts.task import seeds_of

ERASED, SYNONYMS, NEIGHBOURS, OTHERS = "erased", "synonyms", "neighbours", "others"
GROUPS = (ERASED, SYNONYMS, NEIGHBOURS, OTHERS)
GONE_WITH = (ERASED, SYNONYMS)
"""Groups whose words shall no longer be drawn; those of the other groups shall stay."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """W words, each drawn K times by both models.

    Attributes:
        words: in the order drawn.
        groups: the group of each word, of :data:`GROUPS`.
        before: (W, K, 3, H, W') pictures of the original model, in 0..1.
        after: (W, K, 3, H, W') of the erased model, from the same noise.
        seen_before: (W, K) long, number of the word that each picture is most like; -1 where it is like none enough.
        seen_after: (W, K) long.
        likeness: (W, K) cosine of each pair's features.
        spread: (W,) mean cosine of the original's pictures of one word from different noise: how alike pictures are
            that share the word alone.
        seconds: for a picture of the original and of the erased model.
    """

    words: tuple[str, ...]
    groups: tuple[str, ...]
    before: Tensor
    after: Tensor
    seen_before: Tensor
    seen_after: Tensor
    likeness: Tensor
    spread: Tensor
    seconds: tuple[float, float]

    def of(self, group: str) -> list[int]:
        """The numbers of a group's words."""
        return [number for number, own in enumerate(self.groups) if own == group]

    def found(self, word: int) -> tuple[Tensor, Tensor]:
        """(K,) bool each: whether the pictures before and after show the word.

        A picture of an erased word shows it where it is most like any erased word or synonym.
        """
        own = [n for n, group in enumerate(self.groups) if group in GONE_WITH] if self._goes(word) else [word]
        right = torch.tensor(own)
        return torch.isin(self.seen_before[word], right), torch.isin(self.seen_after[word], right)

    def figure(self, group: str) -> Figure | None:
        """The figure of a group; None for one without words.

        Of words that shall go, the floor is the share of the original's pictures of words that shall stay in which one
        of them is seen. Of words that shall stay, it is the share of its pictures of other words in which each is seen,
        on average.
        """
        members = self.of(group)
        if not members:
            return None
        before, after = (torch.stack(found).float() for found in zip(*map(self.found, members), strict=True))
        floor = self._false() if group in GONE_WITH else self._mistaken(members)
        return Figure(float(after.mean()), floor, float(before.mean()), after.numel())

    def kept(self) -> tuple[float, float] | None:
        """Of words that shall stay: mean likeness of the pairs, and of pictures of one word from different noise. None
        where there are none."""
        members = [number for number in range(len(self.words)) if not self._goes(number)]
        return (float(self.likeness[members].mean()), float(self.spread[members].mean())) if members else None

    def kept_style(self) -> tuple[float, float] | None:
        """Of words that shall stay: mean :func:`..evaluate.styles.style_distance` of the pairs, and of the original's
        pictures of one word from different noise. None where there are none, or pictures are too small for it."""
        members = [number for number in range(len(self.words)) if not self._goes(number)]
        if not members or min(self.before.shape[-2:]) < LEAST_SIDE:
            return None
        pairs, spread = [], []
        for word in members:  # one after another: pictures of all words are large
            before = styles_of(self.before[word])
            pairs.append(style_distance(before, styles_of(self.after[word])).mean())
            spread.append(style_spread(before))
        return float(torch.stack(pairs).mean()), float(torch.stack(spread).mean())

    def _goes(self, word: int) -> bool:
        return self.groups[word] in GONE_WITH

    def _false(self) -> float:
        """In which share of pictures of words that shall stay an erased word is seen."""
        gone = torch.tensor([n for n in range(len(self.words)) if self._goes(n)])
        stay = [n for n in range(len(self.words)) if not self._goes(n)]
        return float(torch.isin(self.seen_before[stay], gone).float().mean()) if stay else 0.0

    def _mistaken(self, members: Sequence[int]) -> float:
        """In which share of the original's pictures of other words a word is seen; the mean over words."""
        others = [torch.cat([self.seen_before[:one], self.seen_before[one + 1 :]]) == one for one in members]
        return float(torch.stack(others).float().mean())


def comparing(words: Mapping[str, Sequence[str]], settings: AttackSettings) -> int:
    """Model passes of :func:`compare`, counted by pictures."""
    return 2 * 2 * settings.steps * settings.draws * sum(map(len, words.values()))


def compare(
    original: Backbone,
    erased: Backbone,
    words: Mapping[str, Sequence[str]],
    features: Features,
    settings: AttackSettings,
    seed: int = 0,
    on_passes: Callable[[int], None] = lambda passes: None,
    guard: Guarding | None = None,
    placeholders: Placeholders | None = None,
) -> Comparison:
    """Draw words with both models and compare.

    Args:
        original: the model as it was.
        erased: the model without the erased words.
        words: group (:data:`GROUPS`) to its words; some that shall go, and some that shall stay.
        features: a picture encoder.
        settings: how to draw; at least two pictures a word.
        seed: of the noise.
        on_passes: see :data:`.parts.drawing.OnPasses`.
        guard: makes what guards one run of the erased model; None for nothing.
        placeholders: learnt tokens that the words may name, ``"<apple>"`` to vectors.

    Raises ``ValueError`` for words that are named twice, none that shall go or none that shall stay, and one picture a
    word.
    """
    named = [(group, word) for group in GROUPS for word in words.get(group, ())]
    check(named, settings)
    prompts = [settings.template.replace("{}", word) for _, word in named for _ in range(settings.draws)]
    seeds = seeds_of(seed, settings.draws) * len(named)
    shape, drawn, seconds = (len(named), settings.draws), [], []
    for backbone, own in ((original, None), (erased, guard)):
        began = time.perf_counter()
        pictures = draw(backbone, prompts, seeds, settings, on_passes, placeholders, own)
        drawn.append(pictures.unflatten(0, shape))
        seconds.append((time.perf_counter() - began) / len(prompts))
    before, after = (unit(features(own.flatten(0, 1))).unflatten(0, shape) for own in drawn)  # (W, K, D)
    return Comparison(
        tuple(word for _, word in named),
        tuple(group for group, _ in named),
        drawn[0],
        drawn[1],
        seen_as(before, before),
        seen_as(before, after),
        (before * after).sum(-1),
        _spread(before),
        (seconds[0], seconds[1]),
    )


def check(named: Sequence[tuple[str, str]], settings: AttackSettings) -> None:
    """Raise ``ValueError`` for words that cannot be compared, see :func:`compare`."""
    words = [word for _, word in named]
    twice = [word for word in dict.fromkeys(words) if words.count(word) > 1]
    if twice:
        raise ValueError(f"{listed(twice)} are named more than once; name each word in one list")
    if not any(group in GONE_WITH for group, _ in named) or all(group in GONE_WITH for group, _ in named):
        raise ValueError("name at least one word that was erased, and one neighbour or other word that stays")
    if settings.draws < 2:
        raise ValueError(f"draws must be at least 2 to compare words, got {settings.draws}")


def seen_as(before: Tensor, pictures: Tensor) -> Tensor:
    """(W, K) long: the number of the word that each picture is most like, -1 where it is less like it than
    :func:`.detector.least_likeness` of that word.

    A word is the mean of the original model's pictures of it from other noise than the picture's own, so that no
    picture is compared with itself or with its pair.

    Args:
        before: (W, K, D) unit features of the original's pictures.
        pictures: (W, K, D) unit features of pictures from the same noise.
    """
    count, columns = before.shape[1], []
    others = [torch.cat([of for n, of in enumerate(before) if n != word]) for word in range(len(before))]
    least = torch.tensor([least_likeness(own, rest) for own, rest in zip(before, others, strict=True)])  # (W,)
    for number in range(count):
        rest = [other for other in range(count) if other != number]
        words = torch.stack([prototype_of(of) for of in before[:, rest]])  # (W, D)
        alike, nearest = (pictures[:, number] @ words.T).max(1)  # (W,) each
        columns.append(torch.where(alike >= least[nearest], nearest, -1))
    return torch.stack(columns, dim=1)


def _spread(before: Tensor) -> Tensor:
    """(W,) mean cosine of different pictures (W, K, D) of a word."""
    count = before.shape[1]
    alike = before @ before.transpose(1, 2)  # (W, K, K)
    return (alike.sum((1, 2)) - alike.diagonal(dim1=1, dim2=2).sum(1)) / (count * (count - 1))
