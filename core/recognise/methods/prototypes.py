"""CSR's way without its trained projector: the nearest prototype of the subject against the nearest one of the rest.

*Interactive Medical Image Analysis with Concept-based Similarity Reasoning* (Huy et al., CVPR 2025): a concept is M
prototypes on the sphere, and a position's similarity is the best cosine. Here prototypes are the centres of spherical
clusters of the positions inside of masks; the rest of the pictures gives negatives the same way, whose best cosine is
subtracted. People correct it by further regions, which become prototypes or negatives of their own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...clustering.finch import cluster_means
from ...clustering.kmeans import kmeans
from ...settings import setting
from ..subjects import Examples, Learnt, SubjectLearner, SubjectSettings, unit

CORRECTED = 2
"""Prototypes, and negatives, that one correction gives at most."""


@dataclass(frozen=True)
class PrototypeSettings(SubjectSettings):
    """Settings of :data:`METHOD`."""

    prototypes: int = setting(4, "How many prototypes the subject has at most.", least=1)
    negatives: int = setting(16, "How many prototypes of the rest are subtracted; 0 subtracts none.", least=0)


def _learn(examples: Examples, settings: PrototypeSettings, generator: torch.Generator) -> Learnt:
    seed = int(torch.randint(2**31, (1,), generator=generator))
    prototypes = centres(examples.rows[examples.inside], settings.prototypes, seed)
    negatives = centres(examples.rows[examples.outside], settings.negatives, seed)
    return Learnt(unit(prototypes.mean(0)), {"prototypes": prototypes, "negatives": negatives})


def _correct(learnt: Learnt, further: Examples, settings: PrototypeSettings) -> Learnt:
    more = {"prototypes": further.inside, "negatives": further.outside}
    extra = {
        kind: torch.cat([learnt.extra[kind], centres(further.rows[of], CORRECTED, 0)]) for kind, of in more.items()
    }
    return Learnt(unit(extra["prototypes"].mean(0)), extra)


def centres(rows: Tensor, most: int, seed: int) -> Tensor:
    """(k, D) unit centres of at most so many spherical clusters of rows (n, D)."""
    if not len(rows) or not most:
        return torch.zeros(0, rows.shape[1])
    alike = normalize(rows, dim=1)
    return normalize(cluster_means(alike, kmeans(alike, min(most, len(alike)), seed, restarts=1)), dim=1)


METHOD = SubjectLearner(
    name="prototypes",
    title="Prototypes (CSR)",
    help="Compares each position with the nearest of a few prototypes of the subject, less the nearest of the rest.",
    settings=PrototypeSettings(),
    learn=_learn,
    correct=_correct,
    note="CSR trains a projector on labelled pictures first; this pack compares an encoder's positions as they are.",
)
