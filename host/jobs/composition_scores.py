"""Scoring a composition from end to end: cut regions out of pictures, look at them, compare, and say what was found."""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...core.evaluate.composition import CompositionScores, score_composition
from ...core.evaluate.sources import masked_source
from ...core.types import Concepts
from ..pictures.concept_pictures import picture_for
from ..pictures.drawing import colour_of
from .contact_sheet import Caption, Row, contact_sheet
from .evaluation import SourceSettings, concept_sources
from .vision import picture_features


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores and the pictures they are of: sources (K, 3, s, s) and regions (K, P, 3, s, s)."""

    scores: CompositionScores
    sources: Tensor
    regions: Tensor


def score_pictures(
    clip_vision: Any, pictures: Tensor, regions: Tensor, picture: Tensor, concepts: Concepts, ground: str
) -> Scored:
    """Compare each region of pictures with each concept.

    Args:
        clip_vision: the picture encoder.
        pictures: (P, 3, H, W) in 0..1, drawn.
        regions: (K, h, w) masks in 0..1, in the order of the concepts.
        picture: (1, 3, H', W'), what the concepts were found in.
        concepts: K of them.
        ground: what concepts and regions stand on, see :data:`~...core.evaluate.sources.GROUNDS`.

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
            torch.cat([_squared(masked_source(one[None], mask, ground, crop=True), side) for one in pictures])
            for mask in masks
        ]
    )  # (K, P, 3, side, side)
    features = picture_features(clip_vision, parts.flatten(0, 1)).unflatten(0, parts.shape[:2])
    return Scored(score_composition(concepts.names, features, picture_features(clip_vision, sources)), sources, parts)


def described(scores: CompositionScores) -> str:
    """A line for each concept, and one of all, for people."""
    lines = []
    for index, name in enumerate(scores.names):
        others = [
            f"{scores.leaks[index, other]:.0%} like {scores.names[other]}"
            for other in range(len(scores.names))
            if other != index and scores.leaks[index, other] > 0
        ]
        leaked = f"; {', '.join(others)}" if others else ""
        lines.append(
            f"{name}: its region is like it in {scores.own[index]:.0%} of the pictures "
            f"(similarity {scores.identity[index]:.3f}){leaked}"
        )
    lines.append(f"all in their own regions: {scores.exact:.0%} of the pictures")
    return "\n".join(lines)


def leaks_csv(scores: CompositionScores) -> str:
    """A line for each region: its concept, similarity, and the share of pictures in which it is like each concept."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["region", "similarity", "own", *(f"like {name}" for name in scores.names)])
    for index, name in enumerate(scores.names):
        values = [scores.identity[index], scores.own[index], *scores.leaks[index]]
        writer.writerow([name, *(f"{float(value):.4f}" for value in values)])
    return text.getvalue()


def composition_json(scores: CompositionScores, ground: str) -> str:
    """All figures, with the similarity of each region in each picture to each concept."""
    body = {
        "settings": {"ground": ground},
        "concepts": list(scores.names),
        "exact": round(scores.exact, 4),
        "similarity": [round(value, 4) for value in scores.identity.tolist()],
        "leaks": [[round(value, 4) for value in row] for row in scores.leaks.tolist()],
        "each": [[[round(value, 4) for value in row] for row in rows] for rows in scores.alike.tolist()],
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def composition_sheet(scored: Scored) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each concept, its source and its region in every picture."""
    scores, rows = scored.scores, []
    for index, name in enumerate(scores.names):
        captions = []
        for alike in scores.alike[index]:  # (K,)
            nearest = scores.names[int(alike.argmax())]
            wrong = nearest != name
            captions.append(Caption(f"{float(alike[index]):.2f}" + (f" {nearest}" if wrong else ""), wrong))
        title = f"{name}   similarity {scores.identity[index]:.3f}   own {scores.own[index]:.2f}"
        rows.append(Row(title, colour_of(index), scored.sources[index], scored.regions[index], captions))
    return contact_sheet(rows)


def _squared(picture: Tensor, side: int) -> Tensor:
    return interpolate(picture, (side, side), mode="bilinear", antialias=True).clamp(0, 1)
