"""How what we add grows: with the picture's side, with the number of concepts, with the number of preserved words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...core.attention.probabilities import head_mean
from ...core.clustering.finch import finch
from ...core.clustering.nearest import near_kl
from ...core.erase.methods.uce import METHOD as uce
from ...core.learn.parts.transport import grid_distances, transport_cost
from ...core.localize.parts.aggregate import aggregate_self_attention, clustering_grid
from ...core.localize.parts.settings import PAPER
from ...host.adapters import backbone_of, with_erasure
from .ground import Ground, Shape, made_up_words
from .meters import Job, timed
from .parts import GRID, ITERATIONS, SHARP, attention_rows, problems, queries_and_keys
from .settings import CostSettings

SIDES = (1.0, 1.5, 2.0)
"""Of the picture, relative to the model's own: 512, 768 and 1024 for Stable Diffusion 1.5."""
CONCEPTS = (1, 10, 100)
PRESERVED = (10, 100, 1000)
LAYERS = {1: 5, 2: 5, 4: 5}
"""Cells of a latent's side for each of the grid's, to the layers of Stable Diffusion 1.5 in its two halves."""
TEXT = 77


def growth_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """Seconds of processor time by the picture's side, the number of concepts and the number of preserved words.

    By side, without the model's own work and on made-up queries, keys and rows: ``word_maps``, what Capture Attention
    adds to a step; ``localizing``, what Localize Concepts adds to its pass. By concepts: ``transport``, that of one
    update of ``faithful``, and ``erasing`` while 100 words are preserved. By preserved words: ``erasing`` ten concepts.
    """
    latent = shape.side // 8
    sides = {
        str(side * 8): {
            "word_maps": quickest(word_maps(side), settings),
            "localizing": quickest(localizing(side), settings),
        }
        for side in (round(latent * factor) for factor in SIDES)
    }
    concepts = {
        str(count): {
            "transport": quickest(transport(count), settings),
            "erasing": quickest(erasing(ground, shape, count, min(100, settings.preserved)), settings),
        }
        for count in CONCEPTS
    }
    preserved = {
        str(count): {"erasing": quickest(erasing(ground, shape, 10, count), settings)}
        for count in (least for least in PRESERVED if least <= settings.preserved)
    }
    found = {"sides": sides, "concepts": concepts, "preserved": preserved}
    return {name: relative(table) for name, table in found.items()} | {"repetitions": settings.repetitions}


def quickest(job: Job, settings: CostSettings) -> float:
    """The least processor time of the repetitions, at most three."""
    return min(timed(job).cpu for _ in range(min(3, settings.repetitions)))


def relative(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds, and their ratio to those of the first row."""
    first = next(iter(table.values()), {})
    return {
        row: {
            name: {"cpu_s": float(f"{value:.3g}"), "cpu_ratio": float(f"{value / first[name]:.3g}")}
            for name, value in columns.items()
        }
        for row, columns in table.items()
    }


def word_maps(side: int, read: Mapping[int, int] = LAYERS) -> Job:
    """The maps of all words, in the layers that a latent with so many cells a side goes through in one step."""
    calls = [(queries_and_keys(side // scale, TEXT), layers) for scale, layers in read.items()]

    def job() -> None:
        for (query, key), layers in calls:
            for _ in range(layers):
                head_mean(query, key, 0.2)

    return job


def localizing(side: int) -> Job:
    """The self-attention of all layers that are read, brought to one grid and clustered."""
    read = {side // scale: layers for scale, layers in LAYERS.items() if (side // scale) ** 2 <= PAPER.max_cells}
    calls = [(queries_and_keys(cells), layers) for cells, layers in read.items()]
    grid = clustering_grid((side, side), PAPER.max_cells)
    rows = attention_rows(grid[0])  # queries and keys at random give rows that are all alike

    def job() -> list[Any]:
        maps: dict[tuple[int, int], Tensor] = {}
        for (query, key), layers in calls:
            cells = round(query.shape[2] ** 0.5)
            for _ in range(layers):
                maps[cells, cells] = head_mean(query, key, 0.2)[0]
        aggregate_self_attention(maps, grid, dict.fromkeys(maps, 1.0))
        return finch(rows, near_kl)

    return job


def transport(count: int) -> Job:
    """From the attention of so many concepts to their masks."""
    a, b = problems(count)
    sharp = SHARP / float(grid_distances(GRID).max())
    return lambda: transport_cost(a, b, GRID, sharp, ITERATIONS)


def erasing(ground: Ground, shape: Shape, count: int, preserved: int) -> Job:
    """So many concepts, with so many words preserved."""
    backbone = backbone_of(model=ground.model, clip=ground.clip)
    texts = list(made_up_words(count + preserved))
    settings = uce.preset(shape.erase)
    return lambda: with_erasure(ground.model, uce.erase(backbone, texts[:count], "", texts[count:], settings))
