"""How often concepts of one picture stand in others, by the judge."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize

from .judge import Judge, Reading, regions

LEAST = 3
"""Cells from which a region is one of a kind."""
SURE = 0.6
"""Mean probability of a kind in a concept's mask from which the judge knows the concept."""


def count_concepts(judge: Judge, picture: Tensor, masks: Tensor, pictures: Tensor) -> Tensor | None:
    """(K, P) long: how often each concept stands in each picture; None where the judge does not know one of them.

    Of concepts of one kind, such as two cats, each cell belongs to that which it is most like.

    Args:
        judge: which reads the pictures.
        picture: (1, 3, H, W) in 0..1, which the concepts are in.
        masks: (K, H, W) bool, where they are in it.
        pictures: (P, 3, h, w) in 0..1.
    """
    source = judge.look(picture)
    cells = source.objects.shape[-2:]
    shares = interpolate(masks[:, None].float(), size=cells, mode="area")[:, 0]  # (K, h, w)
    kinds = [_kind(source, share) for share in shares]
    known = [kind for kind in kinds if kind is not None]
    if len(known) < len(kinds):
        return None
    looks = torch.cat([source.describe(share[None]) for share in shares])  # (K, D)
    seen = judge.look(pictures)
    counts = torch.zeros(len(kinds), len(pictures), dtype=torch.long)
    for kind in set(known):
        own = [number for number, one in enumerate(known) if one == kind]
        alike = torch.einsum("kd,bdhw->bkhw", looks[own], normalize(seen.features, dim=1))
        nearest = avg_pool2d(alike, 3, stride=1, padding=1, count_include_pad=False).argmax(1)  # (P, h, w)
        for row, likeliest in enumerate(seen.objects.argmax(1) == kind):
            for place, number in enumerate(own):
                counts[number, row] = len(regions(likeliest & (nearest[row] == place), LEAST))
    return counts


def _kind(reading: Reading, share: Tensor) -> int | None:
    """The kind that a concept is of; None where the judge is not sure of any."""
    means = (reading.objects[0] * share).sum((1, 2)) / share.sum().clamp_min(1e-6)  # (K + 1,)
    likeliest = int(means.argmax())
    known = likeliest < len(means) - 1 and float(means[likeliest]) >= SURE
    return likeliest if known else None
