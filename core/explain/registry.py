"""Every method of finding ingredients, by name, in the order that people are shown."""

from collections.abc import Callable, Mapping
from typing import Any

from ..registry import collect
from .activations import Activations
from .bank import ConceptBank, ConceptCodes
from .finder import Coder, Finder, codes_of
from .parts.subject_codes import SCORERS, codes_above_floor

METHODS: Mapping[str, Finder[Any]] = collect(
    __package__,
    "METHOD",
    "methods.semi_nmf",
    "methods.nmf",
    "methods.kmeans",
    "methods.pca",
    "methods.data_points",
    "methods.topk_sae",
    "methods.batch_topk_sae",
    "methods.ra_sae",
    "methods.structured_sae",
)
"""Method name to its record. To add a method, write its file and add one line here (see docs/extend.md)."""

CODERS: Mapping[str, Coder] = {
    **{name: method.code for name, method in METHODS.items()},
    **{kind: codes_above_floor(kind) for kind in SCORERS},
}
"""Kind of a bank to how its codes are computed: the methods here, and what ``core/recognise`` learns from masks."""


def encode(bank: ConceptBank, activations: Activations, each: Callable[[], None] = lambda: None) -> ConceptCodes:
    """Codes of a bank of any method; ``each`` as in :func:`.finder.codes_of`. Raises ``ValueError`` for activations
    that do not fit it."""
    return codes_of(CODERS[bank.kind], bank, activations, each)
