"""Correlation of ranks."""

from collections.abc import Sequence


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's correlation of two lists, ties sharing their mean rank; None where one of both does not vary."""
    a, b = ([sum(x < y for x in of) + (sum(x == y for x in of) - 1) / 2 for y in of] for of in (one, other))
    middle = (len(one) - 1) / 2
    top = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    below = (sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b)) ** 0.5
    return round(top / below, 3) if below else None
