"""What parts of localising and learning cost, against how they were computed before (:mod:`.former`).

No model takes part: queries, keys and rows are made up, in the sizes that Stable Diffusion 1.5 gives them, or, for a
word's attention while tokens are learnt, a transformer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...core.attention.probabilities import head_mean
from ...core.clustering.finch import finch
from ...core.clustering.nearest import near_kl
from ...core.learn.parts.transport import grid_distances, potentials, transport_cost
from . import former
from .ground import Ground, Shape
from .meters import Job, interleaved, megabytes, memory_of, ratios
from .settings import CostSettings

HEADS, WIDTH = 8, 40  # of the finest layers of Stable Diffusion 1.5
TEXT = 512  # rows of a prompt to FLUX
GRID, SHARP, ITERATIONS = (16, 16), 1e-3, 200  # of ConceptExpress' transport: cells, weight in cells, iterations


def maps_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """Self-attention of one layer on the finest grid, averaged over heads: before and now."""
    query, key = queries_and_keys(shape.side // 8)
    before, ours = former.head_by_head(query, key, 0.2), head_mean(query, key, 0.2)
    compared = before_and_now(
        lambda: former.head_by_head(query, key, 0.2), lambda: head_mean(query, key, 0.2), settings.repetitions
    )
    return compared | {"cells": query.shape[2], "largest_difference": float((before - ours).abs().max())}


def token_map_cost(ground: Any, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """The attention that a layer of a transformer gives to one word, with its gradient, as losses on attention need
    it: before, with the softmax of the whole layer held until the backward pass, and now."""
    model = ground.width.settings
    cells = (shape.side // (ground.width.cell * model["patch_size"])) ** 2
    heads = model.get("num_heads") or model["n_heads"]
    width = (model.get("hidden_size") or model["dim"]) // heads
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.enable_grad():
        query, key = (
            torch.randn(1, heads, rows, width, generator=generator).requires_grad_() for rows in (cells, cells + TEXT)
        )

        def before() -> Tensor:
            return _gradient(former.token_shares(query, key, width**-0.5, 1), query)

        def now() -> Tensor:
            return _gradient(head_mean(query, key, width**-0.5, columns=slice(1, 2)), query)

        compared = before_and_now(before, now, settings.repetitions)
        difference = float((before() - now()).abs().max())
    return compared | {"cells": cells, "largest_difference": difference}


def _gradient(shares: Tensor, query: Tensor) -> Tensor:
    return torch.autograd.grad(shares.square().sum(), query)[0]


def clustering_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """All levels of FINCH over attention rows of the finest grid: before and now."""
    rows = attention_rows(shape.side // 8)
    levels = [level.labels for level in finch(rows, near_kl)]
    expected = former.finch_by_matrices(rows)
    compared = before_and_now(
        lambda: former.finch_by_matrices(rows), lambda: finch(rows, near_kl), settings.repetitions
    )
    same = len(levels) == len(expected) and all(map(torch.equal, levels, expected))
    return compared | {"cells": len(rows), "levels": len(levels), "same_levels": same}


def transport_cost_of_release(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """The transport of ``faithful``, each concept's attention onto its mask, against the release's procedure.

    ``plain`` is that procedure in the same precision, whose plan ours is compared with; beside it, single precision.
    """
    a, b = problems(settings.concepts)
    distances = grid_distances(GRID)
    diagonal = float(distances.max())

    def release() -> Tensor:
        return former.log_domain_plans(a, b, distances, SHARP, ITERATIONS)

    compared = before_and_now(
        lambda: (release() * distances).sum((1, 2)),
        lambda: transport_cost(a, b, GRID, SHARP / diagonal, ITERATIONS),
        settings.repetitions,
    )
    f, g = (part * diagonal / SHARP for part in potentials(a, b, distances / diagonal, SHARP / diagonal, ITERATIONS))
    ours = torch.exp(f[:, :, None] + g[:, None] - distances / SHARP) * a[:, :, None] * b[:, None]  # (K, n, m)
    single = [x.float() for x in (a, b, distances)]
    quick = ratios(
        *interleaved(
            lambda: former.log_domain_plans(*single, SHARP, ITERATIONS),
            lambda: transport_cost(a, b, GRID, SHARP / diagonal, ITERATIONS),
            settings.repetitions,
        )
    )
    return compared | {
        "concepts": len(a),
        "largest_difference": float((release() - ours).abs().max()),
        "to_single_precision": {name: quick[name] for name in ("cpu_ratio", "cpu_ratio_range")},
    }


def before_and_now(before: Job, now: Job, repetitions: int) -> dict[str, Any]:
    """Ratios of runs in turn, the former way as ``plain``, and the most memory that each holds at once."""
    memory = {f"{name}_peak_mb": megabytes(memory_of(job).peak) for name, job in (("plain", before), ("ours", now))}
    return ratios(*interleaved(before, now, repetitions)) | memory


def queries_and_keys(side: int, keys: int | None = None) -> tuple[Tensor, Tensor]:
    """(1, 8, side**2, 40) and (1, 8, keys or side**2, 40)."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, HEADS, side * side, WIDTH, generator=generator)
    return query, torch.randn(1, HEADS, keys or side * side, WIDTH, generator=generator)


def attention_rows(side: int) -> Tensor:
    """Rows (side**2, side**2) that attend to what is near and of the same kind: blobs of eight kinds."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.nn.functional.interpolate(
        torch.randn(1, 8, 6, 6, generator=generator), size=(side, side), mode="bicubic", antialias=False
    )
    noise = 0.2 * torch.randn(1, 8, side, side, generator=generator)
    features = (kinds + noise).flatten(2)[0].T  # (side**2, 8)
    return (features @ features.T).softmax(1)


def problems(count: int) -> tuple[Tensor, Tensor]:
    """Attention and masks (K, 256) float64 of so many concepts: blurred blobs beside discs."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*(torch.arange(float(side)) for side in GRID), indexing="ij")
    rows: tuple[list[Tensor], list[Tensor]] = ([], [])
    for number in range(count):
        away = (y - 4 - number % 9).square() + (x - 3 - 2 * number % 11).square()  # (h, w)
        rows[0].append(torch.exp(-away / 18) + 0.2 * torch.rand(GRID, generator=generator))
        rows[1].append((away.roll((1, 2), (0, 1)) < 12).float())
    a, b = (torch.stack(part).flatten(1).double().clamp_min(1e-12) for part in rows)
    return a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
