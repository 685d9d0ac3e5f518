"""What a captioned folder cannot teach: concepts that always stand together (after *Can We Constrain Concept Bottleneck
Models to Learn Semantically Meaningful Input Features?*, Schiavone et al. 2024, arXiv 2402.00912).

The paper finds that concepts use the right pixels only where the pictures of a folder separate them. So two concepts
that always stand together are reported, and one that always comes with another, and what goes with a trigger word. How
strongly two go together is phi, the correlation of two yes-or-no columns; a fix is what lowers the sum of its absolute
values most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...settings import Settings, setting


@dataclass(frozen=True)
class LintSettings(Settings):
    """Settings of :func:`lint`; each field's help is in its metadata."""

    together: float = setting(0.95, "Share of pictures of either concept that have the other one.", above=0.5, most=1)
    implies: float = setting(0.98, "Share of a concept's pictures that have another one.", above=0.5, most=1)
    fewest: int = setting(5, "Pictures that a concept needs to be judged.", least=2)
    fixes: int = setting(5, "The report names at most this many pictures to add or drop.", least=0)


@dataclass(frozen=True)
class Fix:
    """A picture to drop or to add.

    Attributes:
        drop: the number of the picture to drop, None for one to add.
        present: concepts of the picture to add; empty for one to drop.
        absent: the concept that the picture to add must not show, -1 for one to drop.
        gain: by how much the sum of absolute correlations of all pairs falls.
    """

    drop: int | None
    present: tuple[int, ...]
    absent: int
    gain: float


@dataclass(frozen=True, eq=False)
class Lint:
    """What was found in P captions and K concepts.

    Attributes:
        together: pairs that always stand together.
        implied: pairs (a, b) of which a always comes with b, and not the other way round.
        phi: (K, K) correlations.
        inflation: (K,) variance inflation: how well the other concepts predict one, 1 is not at all.
        identified: the smallest singular value of the standardised columns, over the largest; 0 is not at all.
        fixes: pictures to drop or add, in their order: each gain is what is left after those before.
    """

    together: tuple[tuple[int, int], ...]
    implied: tuple[tuple[int, int], ...]
    phi: Tensor
    inflation: Tensor
    identified: float
    fixes: tuple[Fix, ...]


def lint(tags: Tensor, settings: LintSettings | None = None) -> Lint:
    """Judge a folder by which concept each picture has, (P, K) bool.

    Raises ``ValueError`` for fewer than two pictures or concepts.
    """
    settings = settings or LintSettings()
    if tags.ndim != 2 or len(tags) < 2 or tags.shape[1] < 2:
        raise ValueError(
            f"at least two captions and two concepts beside the trigger are needed, got {len(tags)} captions and "
            f"{tags.shape[-1]} concepts"
        )
    on = tags.double()
    count, both = on.sum(0), on.T @ on  # (K,), (K, K)
    given = both / count.clamp(min=1)[:, None]  # how often a picture with the row has the column
    judged = (count >= settings.fewest) & (count < len(on))
    pairs = [(a, b) for a in range(len(count)) for b in range(len(count)) if a != b and judged[a] and judged[b]]
    together = tuple(
        (a, b) for a, b in pairs if a < b and min(float(given[a, b]), float(given[b, a])) >= settings.together
    )
    known = {*together, *((b, a) for a, b in together)}
    implied = tuple((a, b) for a, b in pairs if (a, b) not in known and float(given[a, b]) >= settings.implies)
    changing = judged.nonzero()[:, 0]
    inflation, identified = torch.ones(len(count)), 1.0
    if len(changing) > 1:
        columns = on[:, changing]
        columns = (columns - columns.mean(0)) / columns.std(0, correction=0)
        values = torch.linalg.svdvals(columns)
        identified = float(values[-1] / values[0]) if len(columns) >= len(changing) else 0.0
        correlation = columns.T @ columns / len(columns) + 1e-6 * torch.eye(len(changing), dtype=torch.float64)
        inflation[changing] = torch.linalg.inv(correlation).diagonal().float()
    troubled = [*together, *implied]
    return Lint(together, implied, phi_of(on), inflation, identified, _fixes(on, troubled, settings.fixes))


def phi_of(on: Tensor) -> Tensor:
    """(K, K) correlations of columns (P, K) of zeros and ones; 0 for columns that never change."""
    count, total = on.sum(0), len(on)
    spread = (count * (total - count)).clamp(min=0).sqrt()
    scale = spread[:, None] * spread
    return torch.where(scale > 0, (total * (on.T @ on) - count[:, None] * count) / scale.clamp(min=1e-12), 0.0)


def entangled(tags: Tensor, trigger: Tensor) -> Tensor:
    """(K,) mutual information, in bits, of each column of tags (P, K) bool and a trigger (P,) bool."""
    on, asked, total = tags.double(), trigger.double(), len(tags)
    found = torch.zeros(tags.shape[1], dtype=torch.float64)
    for left in (on, 1 - on):
        for right in (asked, 1 - asked):
            joint = left.T @ right / total  # (K,)
            apart = left.mean(0) * right.mean()
            found += torch.where(joint > 0, joint * (joint / apart.clamp(min=1e-12)).clamp(min=1e-12).log2(), 0.0)
    return found.float()


def _total(on: Tensor) -> float:
    return float(phi_of(on).triu(1).abs().sum())


def _fixes(on: Tensor, pairs: Sequence[tuple[int, int]], most: int) -> tuple[Fix, ...]:
    """Greedily, the picture to drop or to add that lowers the correlations of the troubled concepts most."""
    if not pairs:
        return ()
    columns = sorted({index for pair in pairs for index in pair})
    kept, now, found = list(range(len(on))), on, []
    for _ in range(most):
        rows = now[:, columns]
        before = _total(rows)
        drops = [
            (before - _total(torch.cat([rows[:at], rows[at + 1 :]])), at)
            for at in _first_of_each(rows)
            if kept[at] >= 0  # one that was added is not there to drop
        ]
        adds = [
            (before - _total(torch.cat([rows, new[columns][None]])), new, gone)
            for pair in pairs
            for gone in pair
            for new in [_without(now, pair, gone)]
        ]
        (gain, at), (added, new, gone) = max(drops, default=(0.0, -1)), max(adds, key=lambda one: one[0])
        if max(gain, added) <= 1e-9:
            break
        if added >= gain:
            found.append(Fix(None, tuple(new.nonzero()[:, 0].tolist()), gone, added))
            now, kept = torch.cat([now, new[None]]), [*kept, -1]
        else:
            found.append(Fix(kept[at], (), -1, gain))
            now, kept = torch.cat([now[:at], now[at + 1 :]]), [*kept[:at], *kept[at + 1 :]]
    return tuple(found)


def _first_of_each(rows: Tensor) -> list[int]:
    """One picture of each kind: those that have the same concepts lower the sum alike."""
    seen: dict[tuple[float, ...], int] = {}
    for at, row in enumerate(rows.tolist()):
        seen.setdefault(tuple(row), at)
    return list(seen.values())


def _without(on: Tensor, pair: tuple[int, int], gone: int) -> Tensor:
    """The picture of a pair that has most of the usual concepts, less one of the two."""
    stays = pair[0] if gone == pair[1] else pair[1]
    holding = on[on[:, stays] > 0]
    usual = (holding.mean(0) > 0.5).to(on)
    usual[stays], usual[gone] = 1, 0
    return usual
