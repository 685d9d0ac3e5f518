"""Sparse autoencoders: few of many directions make each row.

    z = keep(relu(E x + c)),  x' = z D,  ||D_k|| = 1

``keep`` leaves the largest codes of each row (TopK, Gao et al. 2024, arXiv 2406.04093) or of the whole batch
(BatchTopK, Bussmann et al. 2024, arXiv 2412.06410), which learns a threshold for single rows. The loss is the mean
squared error, plus 1/32 of the error with which directions that are never used reconstruct what is left, at each row
the D / 2 strongest of them (AuxK, arXiv 2406.04093, section A.2). In RA-SAE (Fel et al. 2025, arXiv 2502.12892)
directions are mixtures of real rows with a small change, D = W C + L, which makes them stable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize, relu

from ...clustering.finch import cluster_means
from ...clustering.kmeans import kmeans, spread_rows
from ...settings import setting
from .task import FindSettings, FindTask, Found

AUX, MOMENTUM, CLIP = 1 / 32, 0.9, 1.0
STARTS = 4096


@dataclass(frozen=True)
class AutoencoderSettings(FindSettings):
    """How autoencoders train; each field's help is in its metadata."""

    steps: int = setting(500, "Updates.", least=1)
    rate: float = setting(5e-3, "Learning rate of Adam.", above=0)
    batch: int = setting(512, "Positions per update.", least=1)

    @property
    def cost(self) -> str:
        return f"{super().cost}, {self.steps} updates of {self.batch} positions"


@dataclass(frozen=True)
class SparseSettings(AutoencoderSettings):
    """Settings of sparse autoencoders; each field's help is in its metadata."""

    active: int = setting(4, "Ingredients that a position uses at most (TopK), or on average (BatchTopK).", least=1)


@dataclass(frozen=True)
class MixtureSettings(SparseSettings):
    """Settings of RA-SAE; each field's help is in its metadata."""

    points: int = setting(
        256, "Real positions that ingredients are mixtures of: centres of k-means of at most 4096.", least=2
    )
    reach: float = setting(
        0.3, "How far an ingredient may leave the mixtures, as a share of the points' mean length.", least=0
    )


Keep = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Codes (B, K) >= 0 and how many a row uses; gives those that are kept, and the least of them."""


def keep_top(codes: Tensor, active: int) -> tuple[Tensor, Tensor]:
    """The largest codes of each row."""
    best = codes.topk(min(active, codes.shape[1]), dim=1)
    return torch.zeros_like(codes).scatter(1, best.indices, best.values), best.values.detach().min()


def keep_batch(codes: Tensor, active: int) -> tuple[Tensor, Tensor]:
    """The largest codes of the batch, ``active`` for each row on average."""
    flat = codes.flatten()
    best = flat.topk(min(active * len(codes), flat.numel()))
    kept = torch.zeros_like(flat).scatter(0, best.indices, best.values)
    return kept.view_as(codes), best.values.detach().min()


def keep_all(codes: Tensor, active: int) -> tuple[Tensor, Tensor]:
    """All codes: nothing but the loss makes them few."""
    return codes, codes.new_zeros(())


class _Directions(torch.nn.Module):
    """Free directions."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        return normalize(self.rows, dim=1)


class _Mixtures(torch.nn.Module):
    """Directions as mixtures W of real points C (M, D), each changed by at most ``reach`` of the points' mean length.

    Their length plays no part, since codes have no bound: the scale exp(s) of the paper is left out.
    """

    def __init__(self, points: Tensor, count: int, reach: float, generator: torch.Generator) -> None:
        super().__init__()
        self.points = points
        order = torch.randperm(len(points), generator=generator)
        chosen = order.repeat(-(-count // len(points)))[:count]
        # Each direction begins at a point of its own; where there are more of them than points, the others between two.
        start = torch.full((count, len(points)), 1e-3).scatter(1, chosen[:, None], 1.0)
        if count > len(points):
            second = torch.randint(len(points), (count, 1), generator=generator)
            second[: len(points)] = chosen[: len(points), None]
            start = start.scatter_add(1, second, torch.full((count, 1), 0.5))
        self.weights = torch.nn.Parameter(start)
        self.change = torch.nn.Parameter(torch.zeros(count, points.shape[1]))
        self.most = reach * float(points.norm(dim=1).mean())

    def forward(self) -> Tensor:
        weights = relu(self.weights) + 1e-8
        length = self.change.norm(dim=1, keepdim=True).clamp(min=1e-8)
        change = self.change * (self.most / length).clamp(max=1)
        return normalize(weights / weights.sum(1, keepdim=True) @ self.points + change, dim=1)


def free_directions(task: FindTask[SparseSettings]) -> torch.nn.Module:
    """Directions that begin at rows which lie far apart."""
    return _Directions(spread_rows(_few(task), task.count, task.generator))


def mixed_directions(task: FindTask[MixtureSettings]) -> torch.nn.Module:
    """Directions within the hull of k-means centres of the rows."""
    rows = _few(task)
    seed = int(torch.randint(2**31, (1,), generator=task.generator))
    labels = kmeans(rows, min(task.settings.points, len(rows)), seed, restarts=1, iterations=10)
    return _Mixtures(cluster_means(rows, labels), task.count, task.settings.reach, task.generator)


Build = Callable[[FindTask[Any]], torch.nn.Module]
"""Directions to train, for a task."""


class Structure(torch.nn.Module):
    """What is asked of codes beside that they explain rows: a loss () of codes (B, K), and (K, K) tensors about pairs
    of directions that it learnt. This one asks nothing."""

    def forward(self, codes: Tensor) -> Tensor:
        """The loss of codes."""
        return codes.new_zeros(())

    def between(self) -> Mapping[str, Tensor]:
        """What it learnt."""
        return {}


def train(task: FindTask[Any], build: Build, keep: Keep, structure: Structure | None = None) -> Found:
    """Train directions with an encoder, on rows divided by their mean length.

    ``extra`` of what it finds is the encoder (``encoder`` (K, D), ``bias`` (K,)), ``active`` () and ``threshold`` (),
    the running mean of the least code kept. With a structure the point that codes count from is learnt too: it is where
    no ingredient is, and not the mean of all rows.
    """
    with torch.inference_mode(False), torch.enable_grad():
        settings, given = task.settings, task.rows.clone()  # a copy: nodes run in inference mode
        active = settings.active if isinstance(settings, SparseSettings) else task.count
        size = given.norm(dim=1).mean().clamp(min=1e-8)
        rows, directions = given / size, build(replace(task, rows=given))
        encoder = torch.nn.Parameter(directions().detach().clone())
        bias = torch.nn.Parameter(torch.zeros(task.count))
        asked = structure or Structure()
        shift = torch.nn.Parameter(torch.zeros(rows.shape[1]), requires_grad=structure is not None)
        parameters = [*directions.parameters(), encoder, bias, *asked.parameters()]
        parameters += [shift] if structure is not None else []
        optimiser = torch.optim.Adam(parameters, lr=settings.rate)
        threshold, unused = torch.zeros(()), torch.zeros(task.count)
        for step in range(settings.steps):
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * min(1.0, 2 * (1 - step / settings.steps))
            chosen = torch.randint(len(rows), (min(settings.batch, len(rows)),), generator=task.generator)
            picked = rows[chosen] - shift if structure is not None else rows[chosen]
            before = relu(picked @ encoder.T + bias)  # (B, K)
            codes, least = keep(before, active)
            unused = torch.where((codes > 0).any(0), torch.zeros_like(unused), unused + 1)
            made = directions()
            left = picked - codes @ made
            loss = left.square().sum(1).mean() + AUX * _dead_loss(picked @ encoder.T + bias, unused > 20, left, made)
            loss = loss + asked(codes)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimiser.step()
            task.on_share((step + 1) / settings.steps)
            threshold = least if step == 0 else MOMENTUM * threshold + (1 - MOMENTUM) * least
        extra = {
            "encoder": encoder.detach().clone(),
            "bias": bias.detach() * size,
            "active": torch.tensor(active),
            "threshold": threshold.detach() * size,
        }
        return Found(directions().detach().clone(), extra, asked.between(), shift.detach() * size)


def _dead_loss(before: Tensor, dead: Tensor, left: Tensor, directions: Tensor) -> Tensor:
    """How badly the directions that no batch used for long reconstruct what is left; 0 without any. Half as many as
    there are numbers serve each row at most: with all of many, each would be asked to do next to nothing."""
    if not bool(dead.any()):
        return left.new_zeros(())
    codes, _ = keep_top(relu(before.masked_fill(~dead, 0)), max(1, left.shape[1] // 2))  # (B, K)
    return (left.detach() - codes @ directions).square().sum(1).mean()


def top_codes(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """Codes of an autoencoder that keeps the largest of each row."""
    return keep_top(relu(rows @ extra["encoder"].T + extra["bias"]), int(extra["active"]))[0]


def threshold_codes(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """Codes of an autoencoder that keeps those above its threshold."""
    codes = relu(rows @ extra["encoder"].T + extra["bias"])
    return torch.where(codes >= extra["threshold"], codes, 0.0)


def _few(task: FindTask[Any]) -> Tensor:
    rows = task.rows
    return rows if len(rows) <= STARTS else rows[torch.randperm(len(rows), generator=task.generator)[:STARTS]]
