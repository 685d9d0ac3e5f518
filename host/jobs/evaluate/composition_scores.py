"""Scoring a composition from end to end: cut regions out of pictures, look at them, compare, and say what was found."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.evaluate.composition import CompositionScores, score_composition
from ....core.evaluate.copies import Window, copies_of, windows_of
from ....core.evaluate.sources import masked_source
from ....core.types import Concepts
from ...pictures.concept_pictures import concept_masks, picture_for
from ...pictures.drawing import colour_of
from ..contact_sheet import Caption, Row, contact_sheet
from ..vision import picture_features
from .evaluation import SourceSettings, concept_sources, squared

Count = Callable[[Tensor, Tensor, Tensor], Tensor | None]
"""A picture (1, 3, H, W), masks (K, H, W) bool of concepts in it, and drawn pictures (P, 3, h, w), to how often each
concept stands in each of these (K, P); None where the counter does not know a concept."""

BY_WINDOWS = "windows, by CLIP_VISION"


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores and the pictures they are of: sources (K, 3, s, s) and regions (K, P, 3, s, s); ``counted_by`` says what
    counted the concepts."""

    scores: CompositionScores
    sources: Tensor
    regions: Tensor
    counted_by: str


def score_pictures(
    clip_vision: Any,
    pictures: Tensor,
    regions: Tensor,
    picture: Tensor,
    concepts: Concepts,
    ground: str,
    counter: tuple[str, Count] | None = None,
) -> Scored:
    """Compare each region of pictures with each concept, and count the concepts in each whole picture.

    Args:
        clip_vision: the picture encoder.
        pictures: (P, 3, H, W) in 0..1, drawn.
        regions: (K, h, w) masks in 0..1, in the order of the concepts.
        picture: (1, 3, H', W'), what the concepts were found in.
        concepts: K of them.
        ground: what concepts and regions stand on, see :data:`~....core.evaluate.sources.GROUNDS`.
        counter: what counts concepts, and its name for people; without one, or where it does not know a concept, the
            picture encoder looks at windows.

    Raises ``ValueError`` for another number of regions than of concepts, empty ones, and another picture.
    """
    if len(regions) != len(concepts):
        raise ValueError(
            f"there are {len(concepts)} concepts and {len(regions)} regions; connect a mask for each concept, in order"
        )
    comparing = SourceSettings(ground, crop=True)
    sources = concept_sources(picture_for(concepts, picture), concepts, comparing)
    masks = interpolate(regions.float()[:, None], size=pictures.shape[-2:], mode="nearest")[:, 0]  # (K, H, W)
    side = sources.shape[-1]
    parts = torch.stack(
        [
            torch.cat([squared(masked_source(one[None], mask, ground, crop=True), side) for one in pictures])
            for mask in masks
        ]
    )  # (K, P, 3, side, side)
    features = picture_features(clip_vision, parts.flatten(0, 1)).unflatten(0, parts.shape[:2])
    of_sources = picture_features(clip_vision, sources)
    counted_by, count = counter or ("", lambda *_: None)
    masks_there = concept_masks(concepts, picture) > 0.5
    counts = count(picture, masks_there, pictures)
    if counts is None:
        counted_by, counts = BY_WINDOWS, _by_windows(clip_vision, of_sources, picture, masks_there, pictures, side)
    return Scored(score_composition(concepts.names, features, of_sources, counts), sources, parts, counted_by)


def _by_windows(
    clip_vision: Any, sources: Tensor, picture: Tensor, masks: Tensor, pictures: Tensor, side: int
) -> Tensor:
    """(K, P) how often each concept stands in each picture, as the encoder sees windows of them."""

    def seen(one: Tensor, windows: Sequence[Window]) -> Tensor:
        parts = [squared(one[None, :, top:bottom, left:right], side) for top, left, bottom, right in windows]
        return picture_features(clip_vision, torch.cat(parts))

    own, windows = (
        windows_of((picture.shape[-2], picture.shape[-1])),
        windows_of((pictures.shape[-2], pictures.shape[-1])),
    )
    drawn = torch.stack([seen(one, windows) for one in pictures])  # (P, W, D)
    return copies_of(sources, seen(picture[0], own), own, masks, drawn, windows)


def described(scored: Scored) -> str:
    """A line for each concept, and of all, for people."""
    scores, lines = scored.scores, []
    for index, name in enumerate(scores.names):
        others = [
            f"{scores.leaks[index, other]:.0%} like {scores.names[other]}"
            for other in range(len(scores.names))
            if other != index and scores.leaks[index, other] > 0
        ]
        leaked = f"; {', '.join(others)}" if others else ""
        lines.append(
            f"{name}: its region is like it in {scores.own[index]:.0%} of the pictures "
            f"(similarity {scores.identity[index]:.3f}){leaked}. {_counts(scores.counts[index].tolist())}"
        )
    lines.append(f"all in their own regions: {scores.exact:.0%} of the pictures")
    lines.append(f"each exactly once: {scores.all_once:.0%} of the pictures (counted by {scored.counted_by})")
    return "\n".join(lines)


def _counts(counts: Sequence[int]) -> str:
    """How often a concept stands in the whole pictures, in words."""
    missing, more = sum(count == 0 for count in counts), sum(count > 1 for count in counts)
    once = sum(count == 1 for count in counts) / max(len(counts), 1)
    said = [f"it stands once in {once:.0%}"]
    said += [f"nowhere in {missing / len(counts):.0%}"] if missing else []
    said += [f"more than once in {more / len(counts):.0%} (up to {max(counts)} times)"] if more else []
    return f"In the whole picture {', '.join(said)}"


def leaks_csv(scores: CompositionScores) -> str:
    """A line for each region: its concept, similarity, the share of pictures in which it is like each concept, and of
    those in which the concept stands exactly once, nowhere and more than once."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["region", "similarity", "own", *(f"like {name}" for name in scores.names)]
    writer.writerow([*head, "once", "nowhere", "more than once"])
    for index, name in enumerate(scores.names):
        counts = scores.counts[index]
        shares = [(counts == 1), (counts == 0), (counts > 1)]
        values = [scores.identity[index], scores.own[index], *scores.leaks[index], *(s.float().mean() for s in shares)]
        writer.writerow([name, *(f"{float(value):.4f}" for value in values)])
    return text.getvalue()


def composition_json(scored: Scored, ground: str) -> str:
    """All figures, with the similarity of each region in each picture to each concept, and the counts."""
    scores = scored.scores
    body = {
        "settings": {"ground": ground},
        "concepts": list(scores.names),
        "exact": round(scores.exact, 4),
        "similarity": [round(value, 4) for value in scores.identity.tolist()],
        "leaks": [[round(value, 4) for value in row] for row in scores.leaks.tolist()],
        "each": [[[round(value, 4) for value in row] for row in rows] for rows in scores.alike.tolist()],
        "counted_by": scored.counted_by,
        "all_once": round(scores.all_once, 4),
        "once": [round(value, 4) for value in scores.once.tolist()],
        "counts": scores.counts.tolist(),
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def composition_sheet(scored: Scored) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each concept, its source and its region in every picture."""
    scores, rows = scored.scores, []
    for index, name in enumerate(scores.names):
        captions = []
        for alike, count in zip(scores.alike[index], scores.counts[index].tolist(), strict=True):  # (K,)
            nearest = scores.names[int(alike.argmax())]
            wrong = nearest != name
            said = f"{float(alike[index]):.2f}" + (f" {nearest}" if wrong else "")
            captions.append(Caption(said + (f" x{count}" if count != 1 else ""), wrong or count != 1))
        own, once = f"own {scores.own[index]:.2f}", f"once {scores.once[index]:.2f}"
        title = f"{name}   similarity {scores.identity[index]:.3f}   {own}   {once}"
        rows.append(Row(title, colour_of(index), scored.sources[index], scored.regions[index], captions))
    return contact_sheet(rows)
