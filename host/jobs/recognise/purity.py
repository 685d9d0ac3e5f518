"""How pure concepts are, for people: the Oracle Impurity Score by captions."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ....core.messages import shown
from ....core.recognise.heads.head import ConceptHead
from ....core.recognise.impurity import FEWEST, impurity
from .heads import source_of

LEAK = 0.1
"""AUROC beyond the truth from which a leak is named."""


def concept_values(head: ConceptHead, clip_vision: Any, pictures: Tensor) -> Tensor:
    """(P, K) how strongly a head sees its concepts in pictures (P, 3, H, W).

    Raises ``ValueError`` for a head that reads ingredients, whose activations are not at hand, and for one of another
    encoder.
    """
    if head.kind == "ingredients":
        raise ValueError("the captions judge heads of words; this head reads ingredients")
    features = source_of(head, clip_vision).read(pictures)
    head.judge(features)  # refuses another encoder
    return head.fitted.concepts(features, head.layer).values


def purity_said(what: str, values: Tensor, names: Sequence[str], present: Tensor) -> str:
    """The score of values (P, K) by which captions mention which concept, whole sentences.

    Captions are taken for the truth: what they leave out raises the score.
    """
    found = impurity(values, present)
    if found is None:
        return (
            f"How pure the {what} are cannot be measured: fewer than two concepts are in at least {FEWEST} captions "
            f"and missing in {FEWEST}."
        )
    said = (
        f"Oracle Impurity Score of the {what}: {found.score:.2f} over {len(found.judged)} concepts (0 is as pure as "
        f"the captions; so few captions give {found.noise:.2f} by chance)."
    )
    leaks = [f"{shown(names[a])} also gives away {shown(names[b])}" for a, b, by in found.leaks() if by >= LEAK]
    return said + (f" {'; '.join(leaks)}." if leaks else "")
