"""The evaluation of ConceptExpress (Hao et al. 2024, arXiv 2407.07077, section 4.1): SIM^I, SIM^C and ACC^k."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..messages import listed
from .prototypes import Prototypes
from .similarity import compositional_similarity, similarity


@dataclass(frozen=True, eq=False)
class ConceptScores:
    """How well the tokens of one picture redraw what they were learnt from; everything follows from the cosines.

    Attributes:
        names: the N concepts that were drawn.
        candidates: the M concepts that pictures were classified by, the N among them.
        similarity: (N, K, M) cosine of each of K pictures of each concept and each candidate's source.
        composition: (J,) cosine of each picture of all concepts together and the whole source picture.
        average: whether ACC^k classifies the mean of a concept's pictures, and not each picture.
    """

    names: tuple[str, ...]
    candidates: tuple[str, ...]
    similarity: Tensor
    composition: Tensor
    average: bool = False

    def __post_init__(self) -> None:
        missing = [name for name in self.names if name not in self.candidates]
        if missing:
            raise ValueError(f"{listed(missing)} is none of the candidates {listed(self.candidates)}")
        if self.similarity.ndim != 3 or self.similarity.shape[::2] != (len(self.names), len(self.candidates)):
            raise ValueError(
                f"{len(self.names)} concepts and {len(self.candidates)} candidates need similarities "
                f"({len(self.names)}, K, {len(self.candidates)}), got {tuple(self.similarity.shape)}"
            )

    @property
    def own(self) -> Tensor:
        """(N, K) cosine of each picture and its own concept's source."""
        return self.similarity.gather(2, self._columns().expand(-1, self.draws, 1))[..., 0]

    @property
    def sim_i(self) -> Tensor:
        """(N,) SIM^I: the mean over a concept's pictures."""
        return self.own.mean(1)

    @property
    def sim_c(self) -> float:
        """SIM^C: the mean over the joint pictures."""
        return float(self.composition.mean())

    @property
    def draws(self) -> int:
        """Pictures of each concept, K."""
        return self.similarity.shape[1]

    @property
    def ranks(self) -> Tensor:
        """(N, K) long: how many other candidates are at least as similar to a picture as its own concept is.

        A tie counts against the concept: features that are all alike distinguish nothing.
        """
        return (self._others() >= self.own[..., None]).sum(2)  # (N, K, M) with (N, K, 1)

    @property
    def mean_ranks(self) -> Tensor:
        """(N,) long: the same for the mean of a concept's unit features, whose cosine with any candidate is the mean
        of the cosines times the same number."""
        return (self._others().mean(1) >= self.sim_i[:, None]).sum(1)  # (N, M) with (N, 1)

    def accuracy(self, k: int) -> Tensor:
        """(N,) ACC^k: the share of a concept's pictures (0 or 1 for their mean) with it among the ``k`` most similar.

        Raises ``ValueError`` for ``k`` below 1.
        """
        if k < 1:
            raise ValueError(f"ACC^k needs k of 1 or more, got {k}")
        ranks = self.mean_ranks[:, None] if self.average else self.ranks  # (N, 1) or (N, K)
        return (ranks < k).float().mean(1)

    def chance(self, k: int) -> float:
        """ACC^k of guessing: ``k`` out of the candidates."""
        return min(1.0, k / len(self.candidates))

    def nearest_other(self) -> tuple[tuple[str, float], ...]:
        """For each concept the other candidate that its pictures are most like, and how much (mean cosine).

        Of a single candidate there is no other: ``("", nan)``.
        """
        values, columns = self._others().mean(1).max(1)  # (N, K, M) to (N, M) to (N,)
        if len(self.candidates) == 1:
            return (("", float("nan")),) * len(self.names)
        return tuple((self.candidates[c], float(v)) for v, c in zip(values, columns.tolist(), strict=True))

    def seen_as(self) -> tuple[tuple[str, ...], ...]:
        """For each concept and picture the candidate that it is most like; of those alike, another than its own."""
        others = self._others().max(2)  # (N, K)
        own = [[name] * self.draws for name in self.names]
        return tuple(
            tuple(self.candidates[c] if lost else name for lost, c, name in zip(*row, strict=True))
            for row in zip((self.ranks > 0).tolist(), others.indices.tolist(), own, strict=True)
        )

    def _others(self) -> Tensor:
        """Similarities with each concept's own at minus infinity."""
        return self.similarity.scatter(2, self._columns().expand(-1, self.draws, 1), -torch.inf)

    def _columns(self) -> Tensor:
        columns = [self.candidates.index(name) for name in self.names]
        return torch.tensor(columns, device=self.similarity.device)[:, None, None]  # (N, 1, 1)


def score_concepts(
    names: Sequence[str],
    drawn: Tensor,
    prototypes: Prototypes,
    joint: Tensor,
    picture: Tensor,
    average: bool = False,
) -> ConceptScores:
    """Score the pictures that were drawn of concepts.

    Args:
        names: N concepts, each among the prototypes.
        drawn: (N, K, D) features of K pictures of each, drawn from its token alone.
        prototypes: features of the concepts' masked sources, and of any others that they shall be distinguished from.
        joint: (J, D) features of pictures drawn from all tokens together.
        picture: (1, D) features of the whole source picture.
        average: let ACC^k classify the mean feature of a concept's pictures, and not each of them. Which of the two
            the paper's figures are is not known.

    Raises:
        ValueError: for names without a prototype, and features that do not fit one another.
    """
    if drawn.ndim != 3 or len(drawn) != len(names):
        raise ValueError(f"{len(names)} concepts need features ({len(names)}, K, D), got {tuple(drawn.shape)}")
    for name in names:
        prototypes.index(name)
    cosines = similarity(drawn, prototypes.features)  # (N, K, M)
    return ConceptScores(tuple(names), prototypes.names, cosines, compositional_similarity(joint, picture), average)
