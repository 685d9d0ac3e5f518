"""What captions leave out, from captions of similar pictures: CoCu (*Rewrite Caption Semantics*, Xing et al., NeurIPS
2023, arXiv 2309.13505).

The archive of a picture i holds what the captions of its nearest pictures mention and its own does not. With e_t the
features of concept t, v those of pictures, and R_t the nearest pictures that mention it,

    score = e_t v_i / max_j e_t v_j + e_t v_i / mean_{j in R_t and i} e_t v_j

Concepts of the archive are put into clusters by meaning, and the best one of each may be added.

Ratios of cosines mean something where all are positive, as with CLIP; others are moved so that the least is 0. The
paper keeps all concepts and samples from them; for captions one has to decide. What decides here is ours: the
probability of :mod:`.evidence`. What most captions mention is a habit of the whole folder, and is passed over: its
neighbours mention it whatever the picture shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...clustering.kmeans import kmeans
from ...evaluate.similarity import unit
from ...settings import Settings, setting
from .evidence import probabilities, relative


@dataclass(frozen=True)
class CompleteSettings(Settings):
    """Settings of :func:`complete`; each field's help is in its metadata."""

    neighbours: int = setting(8, "Nearest pictures whose captions are read.", least=1)
    probability: float = setting(0.5, "Least probability that the picture shows it.", least=0, most=1)
    omitted: float = setting(0.3, "Share of what pictures show that captions leave out.", above=0, most=0.9)
    usual: float = setting(0.6, "Concepts that a larger share of captions mention are passed over.", above=0)
    most: int = setting(3, "Concepts that are added to a caption at most.", least=1)


@dataclass(frozen=True)
class Addition:
    """A concept that a caption leaves out.

    Attributes:
        concept: its number.
        score: of the paper, 2 where a picture shows it as well as those that mention it.
        probability: that the picture shows it.
        source: the number of the nearest picture whose caption mentions it.
    """

    concept: int
    score: float
    probability: float
    source: int


def complete(
    pictures: Tensor,
    concepts: Tensor,
    mentioned: Tensor,
    settings: CompleteSettings | None = None,
    seed: int = 0,
    windows: Tensor | None = None,
) -> list[list[Addition]]:
    """What each caption leaves out, the surest first.

    Args:
        pictures: (P, D) features. concepts: (K, D) features in the same space.
        mentioned: (P, K) bool, what each caption mentions.
        windows: (P, N, D) features of parts of the pictures, in which small things are larger.

    Raises ``ValueError`` for fewer than three pictures, and for features that do not fit.
    """
    settings = settings or CompleteSettings()
    if len(pictures) < 3:
        raise ValueError(f"captions are completed from those of similar pictures; give at least 3, got {len(pictures)}")
    if mentioned.shape != (len(pictures), len(concepts)):
        raise ValueError(
            f"mentioned must be ({len(pictures)} pictures, {len(concepts)} concepts), got {tuple(mentioned.shape)}"
        )
    seen, known = unit(pictures), unit(concepts)
    alike = (seen @ seen.T).fill_diagonal_(-torch.inf)
    near = alike.topk(min(settings.neighbours, len(seen) - 1), 1).indices  # (P, L)
    archive = mentioned[near].any(1) & ~mentioned  # (P, K)
    usual = mentioned.float().mean(0) > settings.usual
    similar = seen @ known.T  # (P, K)
    views = seen[:, None] if windows is None else torch.cat([seen[:, None], unit(windows)], 1)
    sure = probabilities(seen, relative(views @ known.T), mentioned, settings.omitted)
    positive = similar - similar.min().clamp(max=0)
    whole = positive / positive.amax(0).clamp(min=1e-8)
    found = []
    for number in range(len(seen)):
        inside = [k for k in archive[number].nonzero()[:, 0].tolist() if not usual[k]]
        additions = [
            _addition(number, k, near[number], mentioned, positive, float(whole[number, k]), float(sure[number, k]))
            for k in inside
        ]
        kept = [one for one in additions if one.probability >= settings.probability]
        found.append(_one_per_cluster(kept, inside, known, seed)[: settings.most])
    return found


def _addition(
    number: int, concept: int, near: Tensor, mentioned: Tensor, positive: Tensor, whole: float, sure: float
) -> Addition:
    sources = near[mentioned[near, concept]]  # nearest first
    group = torch.cat([sources, torch.tensor([number])])
    local = float(positive[number, concept] / positive[group, concept].mean().clamp(min=1e-8))
    return Addition(concept, whole + local, sure, int(sources[0]))


def _one_per_cluster(kept: Sequence[Addition], inside: Sequence[int], known: Tensor, seed: int) -> list[Addition]:
    """The best addition of each cluster of the archive, the surest first."""
    if not kept:
        return []
    labels = kmeans(known[list(inside)], math.ceil(len(inside) / 2), seed)
    cluster = dict(zip(inside, labels.tolist(), strict=True))
    best: dict[int, Addition] = {}
    for one in sorted(kept, key=lambda one: -one.score):
        best.setdefault(cluster[one.concept], one)
    return sorted(best.values(), key=lambda one: -one.probability)
