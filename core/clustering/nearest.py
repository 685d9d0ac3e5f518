"""First neighbours by symmetric Kullback-Leibler divergence, without the divergences of all pairs.

Adding up groups of entries brings no two distributions further apart (the log sum inequality; Cover and Thomas,
"Elements of Information Theory", theorem 2.7.1). So short sums of the rows bound all divergences from below, and few
pairs are left whose own divergence has to be known. Results are those of :func:`.divergence.symmetric_kl`.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from .divergence import as_distributions, noise_of, row_products, snap, symmetric_kl

GROUP = 16
"""Entries that are added up."""
STRIP = 64
"""Rows looked at together: rows that follow each other mostly have the same candidates."""
LEAST_ROWS, WORTH, SAMPLES = 2048, 0.25, 4


def near_kl(rows: Tensor) -> "Tensor | NearRows":
    """What :func:`.finch.finch` asks of the divergences between rows (n, d).

    All of them (n, n) for few rows, on a GPU (whose time goes into many small steps rather than into one product), and
    where a sample shows that the bounds leave too many pairs.
    """
    if len(rows) < LEAST_ROWS or rows.device.type != "cpu":
        return symmetric_kl(rows)
    near = NearRows(rows)
    return near if near.share() <= WORTH else symmetric_kl(rows)


class NearRows:
    """Symmetric divergences of rows (n, d) to their neighbours; as :class:`.finch.Distances`."""

    def __init__(self, rows: Tensor) -> None:
        self._whole = _Pairs(as_distributions(rows))
        short = pad(self._whole.p, (0, -rows.shape[1] % GROUP)).unflatten(1, (-1, GROUP)).sum(2)  # (n, d / GROUP)
        self._sums = _Pairs(short.clamp_min_(torch.finfo(short.dtype).tiny))
        self._scale = self._whole.entropy.abs().max().item()

    def __len__(self) -> int:
        return len(self._whole.p)

    def share(self) -> float:
        """The share of all pairs that have to be looked at, by a sample."""
        strips = self._strips()
        chosen = strips[:: max(1, len(strips) // SAMPLES)]
        return sum(len(self._candidates(strip)) for strip in chosen) / (len(chosen) * len(self))

    def nearest(self) -> Tensor:
        """(n,), the nearest other row of each, the lowest of equals."""
        found = []
        for strip in self._strips():
            near = self._candidates(strip)  # (c,)
            apart = self._apart(strip, near)  # (s, c)
            apart.masked_fill_(near == strip[:, None], torch.inf)
            found.append(near[apart.argmin(1)])
        return torch.cat(found)

    def of(self, pairs: Tensor) -> Tensor:
        """(L,), the distances of pairs (L, 2) of rows."""
        distances = torch.empty(len(pairs), dtype=self._whole.p.dtype)
        for strip in self._strips():
            chosen = ((pairs[:, 0] >= strip[0]) & (pairs[:, 0] <= strip[-1])).nonzero().squeeze(1)
            others, place = torch.unique(pairs[chosen, 1], return_inverse=True)
            distances[chosen] = self._apart(strip, others)[pairs[chosen, 0] - strip[0], place]
        return distances

    def _strips(self) -> tuple[Tensor, ...]:
        return torch.arange(len(self)).split(STRIP)

    def _candidates(self, strip: Tensor) -> Tensor:
        """(c,), all rows that may be the nearest of one of the strip (s,), in order."""
        least = self._sums.divergences(strip, slice(None))  # (s, n), at most as much as the distance
        own = torch.arange(len(strip))
        least[own, strip] = torch.inf
        guesses, place = torch.unique(least.argmin(1), return_inverse=True)
        most = self._apart(strip, guesses)[own, place]  # (s,), at least the distance of the nearest
        margin = 2 * noise_of(most, self._scale)
        return (least <= (most + margin)[:, None]).any(0).nonzero().squeeze(1)

    def _apart(self, rows: Tensor, columns: Tensor) -> Tensor:
        return snap(self._whole.divergences(rows, columns), self._scale)


class _Pairs:
    """Distributions (n, d), all above 0, and what their divergences are computed from."""

    def __init__(self, p: Tensor) -> None:
        self.p, self.log_p = p, p.log()
        self.entropy = row_products(p, self.log_p)  # (n,)

    def divergences(self, rows: Tensor, columns: Tensor | slice) -> Tensor:
        """(r, c), between some rows and others."""
        p, log_p = self.p[columns], self.log_p[columns]  # (c, d)
        cross = (self.p[rows] @ log_p.T).add_(self.log_p[rows] @ p.T)  # (r, c)
        return 0.5 * (self.entropy[rows, None] + self.entropy[columns][None] - cross)
