"""Pictures divided among the words that they show, for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.explain.locate import disjoint
from ....core.explain.scores import PictureScores
from ....core.messages import counted, plain
from ....core.recognise.segment.conceive import ConceiveSettings, conceive
from ....core.recognise.segment.dense import directions_of, spread_over, word_shares
from ...pictures.drawing import colour_of, overlay_masks
from ..paired_texts import word_features
from ..vision import OnStep, picture_features, record_encoder
from .dense import direction_maps

MOST_FOUND = 32
"""Words of all pictures together, of which masks are made."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """P pictures divided among the K words that any of them shows.

    Attributes:
        words: K of the vocabulary, in its order.
        shares: (K, P, H, W) in 0..1, how well each word fits each pixel; 0 where a picture does not show it.
        present: (P, K) bool.
        lead: (P, K) deviations by which each word stands out from words in general.
    """

    words: tuple[str, ...]
    shares: Tensor
    present: Tensor
    lead: Tensor

    def masks(self, threshold: float) -> Tensor:
        """(K, P, H, W): each pixel to the word that fits best, where that is above the threshold; soft for 0."""
        return disjoint(self.shares, threshold) if threshold else self.shares

    def scores(self, reasons: Sequence[str]) -> PictureScores:
        """How far each word stands out in each picture."""
        return PictureScores(self.lead, self.words, "lead over other words", reasons=tuple(reasons))


def segment(
    clip_vision: Any,
    clip: Any,
    pictures: Tensor,
    vocabulary: Sequence[str],
    general: Sequence[str],
    settings: ConceiveSettings,
    template: str,
    on_step: OnStep | None = None,
) -> Segmented:
    """Which words pictures (P, 3, H, W) show, and where.

    Args:
        vocabulary: what may be there. general: words beside which it must stand out.

    Raises ``ValueError`` where no picture shows any word, or all of them together too many, and as
    :func:`word_features` does for encoders that are no pair.
    """
    seen = picture_features(clip_vision, pictures)
    rest = [word for word in general if word not in set(vocabulary)]
    texts = word_features(clip_vision, clip, [*vocabulary, *rest], seen.shape[1], template, on_step)
    words, others = texts[: len(vocabulary)], texts[len(vocabulary) :]
    present, lead = conceive(seen, words, others, settings)
    found = present.any(0).nonzero()[:, 0].tolist()
    if not found:
        best = vocabulary[int(lead.amax(0).argmax())]
        raise ValueError(
            f"no word of the vocabulary stands out in any picture; the nearest is {best} with {float(lead.max()):.1f} "
            f"deviations. Lower surety ({settings.surety:g}), or name what the pictures show"
        )
    if len(found) > MOST_FOUND:
        raise ValueError(
            f"{len(found)} words were found in {counted(len(pictures), 'picture')}, and masks are made of {MOST_FOUND} "
            "at most; raise surety, lower most, or give fewer pictures at once"
        )
    maps = place_words(clip_vision, pictures, directions_of(words, others)[found], on_step)
    here = present[:, found]
    size = (pictures.shape[-2], pictures.shape[-1])
    return Segmented(tuple(vocabulary[k] for k in found), word_shares(maps, here, size), here, lead[:, found])


def place_words(clip_vision: Any, pictures: Tensor, directions: Tensor, on_step: OnStep | None = None) -> Tensor:
    """(P, V, h, w) how well directions (V, D) fit the positions of pictures, shared with positions that look alike."""
    maps = direction_maps(clip_vision, pictures, directions, on_step)
    return spread_over(maps, record_encoder(clip_vision, pictures, getattr(clip_vision, "finest_site", "")))


def segment_lines(segmented: Segmented, threshold: float) -> list[str]:
    """For each picture the words that have a place in it, the one with the greatest lead first, with their shares of
    the picture."""
    areas = disjoint(segmented.shares, threshold).mean((2, 3))  # (K, P)
    lines = []
    for number, leads in enumerate(segmented.lead):
        order = [k for k in leads.argsort(descending=True).tolist() if float(areas[k, number]) > 0]
        said = [f"{plain(segmented.words[k])} {float(areas[k, number]):.0%}" for k in order]
        lines.append(", ".join(said) or "no word stands out")
    return lines


def segment_overlays(segmented: Segmented, pictures: Tensor, threshold: float) -> Tensor:
    """IMAGE (P, h, w, 3): pictures (P, 3, H, W) with the words that they show over their places."""
    parts = disjoint(segmented.shares, threshold)
    drawn = []
    for number, picture in enumerate(pictures):
        here = [k for k in segmented.present[number].nonzero()[:, 0].tolist() if bool(parts[k, number].any())]
        names, colours = [segmented.words[k] for k in here], [colour_of(k) for k in here]
        drawn.append(overlay_masks(picture.movedim(0, -1), parts[here, number], names, colours))
    return torch.stack(drawn)
