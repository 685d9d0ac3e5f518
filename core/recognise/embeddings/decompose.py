"""Embeddings as sparse sums of named concepts, and edits of them (after SCoCCA, 2026).

A concept's direction is what pictures whose captions mention it have beyond those whose captions do not, on the common
axes of :mod:`.align`: a ridge regression of places on mentions, so that concepts which often stand together are
separated. The weights w of a picture with place z minimise

    1/2 |R^1/2 (z - base - w D)|^2 + penalty * sum_k w_k |R^1/2 D_k|,   w >= 0

so that axes on which texts foretell little of pictures count little; ``base`` is the place of a picture that shows no
concept: 0 is absent, and 1 as present as it is on average where a caption mentions it. The paper allows negative
weights; amounts of what is there have none. An edit changes weights, and of the embedding only what they stand for:
all that no concept explains stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...explain.activations import Origin
from ...messages import listed, shown
from .align import Axes

RIDGE = 1.0
FEWEST = 2
"""Pictures that mention a concept, below which it has no direction."""
SWEEPS, TOLERANCE = 2000, 1e-8


@dataclass(frozen=True, eq=False)
class Alignment:
    """Common axes, with named directions.

    Attributes:
        axes: of pictures and texts.
        names: K concepts.
        directions: (K, m), places of pictures with a concept minus places of those without.
        base: (m,) the place of a picture that shows none.
        origin: the picture encoder, and what of it is read.
        pictures: how many pairs this was learnt from.
    """

    axes: Axes
    names: tuple[str, ...]
    directions: Tensor
    base: Tensor
    origin: Origin
    pictures: int

    def index(self, name: str) -> int:
        """A concept's number. Raises ``ValueError`` for one that it does not have."""
        if name not in self.names:
            raise ValueError(f"this alignment has no concept {shown(name)}; it has {listed(self.names)}")
        return self.names.index(name)


@dataclass(frozen=True, eq=False)
class Decomposition:
    """P embeddings.

    Attributes:
        weights: (P, K) of 0 or more.
        explained: (P,) R2, the share of the place that the concepts explain; below 0 where they make it worse.
    """

    weights: Tensor
    explained: Tensor


@dataclass(frozen=True)
class Edit:
    """A change of weights.

    Attributes:
        concept: its number.
        to: the number of the concept that takes its weight, None for none.
        factor: what its weight is multiplied by. value: what its weight becomes, None to multiply.
    """

    concept: int
    to: int | None = None
    factor: float = 0.0
    value: float | None = None


def name_axes(axes: Axes, pictures: Tensor, mentioned: Tensor, names: Sequence[str], origin: Origin) -> Alignment:
    """Directions of the concepts that enough captions mention and enough do not.

    Args:
        pictures: (n, D). mentioned: (n, K) bool.

    Raises ``ValueError`` where no concept is left.
    """
    counts = mentioned.sum(0)
    kept = ((counts >= FEWEST) & (counts <= len(mentioned) - FEWEST)).nonzero()[:, 0].tolist()
    if not kept:
        raise ValueError(
            f"no concept is mentioned by at least {FEWEST} captions and left out by as many; give more captions, or "
            "other concepts"
        )
    on = mentioned[:, kept].double()
    places = axes.of_pictures(pictures).double()
    usual = on.mean(0)
    rest = on - usual
    gram = rest.T @ rest + RIDGE * torch.eye(len(kept), dtype=torch.float64)
    directions = torch.linalg.solve(gram, rest.T @ (places - places.mean(0)))  # (K, m)
    base = places.mean(0) - usual @ directions
    found = tuple(names[index] for index in kept)
    return Alignment(axes, found, directions.float(), base.float(), origin, len(pictures))


def decompose(alignment: Alignment, places: Tensor, sparsity: float = 0.1) -> Decomposition:
    """Places (P, m) as sparse sums of concepts; ``sparsity`` is the penalty as a share of the one at which every weight
    is 0."""
    trust = alignment.axes.correlations.sqrt()  # (m,)
    directions = alignment.directions * trust
    lengths = directions.norm(dim=1).clamp(min=1e-12)
    atoms, wanted = directions / lengths[:, None], (places - alignment.base) * trust
    penalty = sparsity * (wanted @ atoms.T).amax(1, keepdim=True).clamp(min=0)  # (P, 1)
    weights = positive_lasso(wanted, atoms, penalty) / lengths
    left = wanted - weights @ directions
    total = (places * trust).square().sum(1).clamp(min=1e-12)
    return Decomposition(weights, 1 - left.square().sum(1) / total)


def positive_lasso(rows: Tensor, atoms: Tensor, penalty: Tensor) -> Tensor:
    """(n, K) the weights of 0 or more with the least 1/2 |row - w atoms|^2 + penalty * sum(w), by coordinate descent.

    Args:
        rows: (n, m). atoms: (K, m). penalty: (n, 1).
    """
    atoms, wanted = atoms.double(), rows.double() @ atoms.double().T - penalty.double()
    gram = atoms @ atoms.T  # (K, K)
    weights = torch.zeros_like(wanted)
    for _ in range(SWEEPS):
        before = weights.clone()
        for k in range(len(atoms)):
            slope = wanted[:, k] - weights @ gram[:, k]  # (n,)
            weights[:, k] = (weights[:, k] + slope / gram[k, k].clamp(min=1e-12)).clamp(min=0)
        if float((weights - before).abs().max()) <= TOLERANCE * max(1.0, float(weights.abs().max())):
            break
    return weights.float()


def edited_weights(weights: Tensor, edits: Sequence[Edit]) -> Tensor:
    """Weights (P, K) after edits, one after the other."""
    changed = weights.clone()
    for edit in edits:
        own = changed[:, edit.concept].clone()
        if edit.to is not None:
            changed[:, edit.concept] = 0
            changed[:, edit.to] += own
        else:
            changed[:, edit.concept] = own * edit.factor if edit.value is None else edit.value
    return changed


def change_of(alignment: Alignment, before: Tensor, after: Tensor) -> Tensor:
    """(P, D) what embeddings change by where weights (P, K) change; exactly 0 where none does."""
    return (after - before) @ alignment.directions @ alignment.axes.lift.T
