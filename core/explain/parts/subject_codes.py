"""Codes of concepts that people pointed at, by masks: how much each position is like the subject rather than the rest.

``core/recognise`` learns such banks; their codes lie here because every node that reads a bank reads these too.
"""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn.functional import normalize

Scorer = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
"""Scores (n, K) of prepared rows (n, D), given unit directions (K, D) and further tensors of the bank."""


def _prototypes(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """How much more alike a row is to the nearest prototype (m, D) than to the nearest negative (r, D); K is 1."""
    unit = normalize(rows, dim=-1)
    found = (unit @ extra["prototypes"].to(unit).T).amax(-1, keepdim=True)  # (n, 1)
    if len(extra["negatives"]):
        found = found - (unit @ extra["negatives"].to(unit).T).amax(-1, keepdim=True)
    return found


def _contrast(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """The share of a row that the mask is expected to cover, by a linear function; K is 1."""
    return rows @ directions.to(rows).T * extra["length"].to(rows) + extra["bias"].to(rows)


SCORERS: Mapping[str, Scorer] = {"prototypes": _prototypes, "contrast": _contrast}
"""Kind of a bank that was learnt from masks to what its codes are made of."""


def codes_above_floor(kind: str) -> Scorer:
    """Codes of a kind: its scores above the bank's ``floor`` (K,), 0 below."""
    score = SCORERS[kind]

    def code(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
        return (score(rows, directions, extra) - extra["floor"].to(rows)).clamp(min=0)

    return code
