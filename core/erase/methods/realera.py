"""RealEra's closed form: erase what lies around a concept with it, and keep what lies beyond.

Liu et al., "RealEra: Semantic-level Concept Erasure via Neighbor-Concept Mining", 2024, arXiv 2410.09140. Of the paper
only the scheme is public; its numbers are not, so those here were chosen on the lab model.

Around each vector e of a concept, vectors ``x = e + r (v - e) / ||v - e||`` are drawn, v normal and r uniform. Those
whose cosine with e is within a band lie inside: they are read as e's anchor a. Those further out, the ring, are read as
before:

    min_W  sum ||W e - W0 a||^2 + mean_x ||W x - W0 a||^2 + ring_scale mean_u ||W u - W0 u||^2 + preserved + damping .

Then come the words of the vocabulary whose encoded state is as near to the concept's: they are erased as the concept is
(ours: directions drawn at random seldom mean anything). The paper's second part, a LoRA trained to predict the anchor's
noise, is :mod:`.realera_lora`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...messages import listed
from ...settings import MOST_SEED, setting
from ..eraser import Eraser, ModelEdit
from ..parts.closed_form import compress, outer_sum
from ..parts.gather import Gathered, Steps, gather
from ..parts.projections import changes, projections_of, rank_notes
from ..parts.related import RelatedWord, WordSearch
from ..parts.settings import SENTENCES, RidgeSettings, require
from ..parts.task import EraseTask

SHOWN = 5  # how many words that lie outside are named


@dataclass(frozen=True)
class RealeraSettings(RidgeSettings):
    """How to erase.

    Raises ``ValueError`` for values outside their range.
    """

    inside: float = setting(
        0.85, "Least cosine with a concept's vector at which another lies inside and is erased too, 0 to 1."
    )
    nearest: float = setting(0.995, "Greatest such cosine of a vector that is drawn: nearer ones teach nothing.")
    radius: float = setting(0.5, "How far vectors inside are drawn, in lengths of the concept's vector, above 0.")
    ring: float = setting(1.2, "How far those in the ring are drawn, in the same lengths, above radius.")
    neighbours: int = setting(64, "How many vectors are drawn inside around each; 0 draws none.")
    beyond: int = setting(256, "How many are drawn in the ring; 0 draws none.")
    neighbour_scale: float = setting(1.0, "Weight of all vectors inside together, 1 is that of the concept's own.")
    ring_scale: float = setting(0.5, "Weight of all vectors in the ring together.")
    related: int = setting(8, "How many words inside are erased with each concept at most, 0 or more.")
    searched: int = setting(32, "How many words of the vocabulary are compared with each concept; 0 compares none.")
    seed: int = setting(0, "Of the vectors that are drawn.", least=0, most=MOST_SEED)

    @property
    def cost(self) -> str:
        words = f"; {2 * self.searched} more for each concept, to compare words" if self.searched else ""
        return f"{super().cost}{words}"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.inside < self.nearest <= 1, "inside", self.inside, f"from 0 to below nearest {self.nearest}")
        require(0 < self.radius < self.ring, "radius", self.radius, f"above 0 and below ring {self.ring}")
        for name in ("neighbours", "beyond", "neighbour_scale", "ring_scale", "related", "searched"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")


def _edit(task: EraseTask[RealeraSettings]) -> ModelEdit:
    settings = task.settings
    steps = Steps(task, more=1 + len(task.pairs))
    found = _words(task, steps)
    pairs = list(task.pairs)
    for (_, anchor), words in zip(task.pairs, found, strict=True):
        inside = [one.word for one in words if one.cosine >= settings.inside][: settings.related]
        pairs += [(word, anchor) for word in inside if word not in dict(pairs)]
    task = replace(task, pairs=tuple(pairs))
    steps.total += len(pairs) - len(found)
    read = gather(task, steps)
    change = solve_around(read, settings)
    edit = compress(change, torch.eye(len(change), dtype=torch.float64), settings.rank_tolerance, settings.max_rank)
    weights = projections_of(task.backbone, edit.width, settings.projections)
    steps()
    concepts, erased = [concept for concept, _ in pairs[: len(found)]], dict(pairs)
    remarks = tuple(_said(concept, words, erased, settings) for concept, words in zip(concepts, found, strict=True))
    return ModelEdit(changes(weights, edit), notes=rank_notes(edit), remarks=remarks)


def _words(task: EraseTask[RealeraSettings], steps: Steps) -> list[list[RelatedWord]]:
    """For each concept the words nearest to it that no list names; a step each."""
    settings, found = task.settings, []
    named = [*task.preserve, *(text for pair in task.pairs for text in pair)]
    search = WordSearch(task.backbone, task.placeholders, searched=settings.searched)
    for concept, _ in task.pairs:
        found.append(search.near(concept, named) if settings.searched else [])
        steps()
    return found


def _said(concept: str, words: list[RelatedWord], erased: dict[str, str], settings: RealeraSettings) -> str:
    """Which words lie inside, and the nearest outside, each with its cosine."""
    inside = [one for one in words if one.cosine >= settings.inside]
    outside = [one for one in words if one.cosine < settings.inside][:SHOWN]
    with_it = [_named(one) for one in inside if one.word in erased]
    others = [_named(one) for one in inside if one.word not in erased]
    parts = [
        f"erased with it: {listed(with_it) or 'no word'}",
        f"inside but not erased: {listed(others)}" if others else "",
        f"nearest outside: {listed(outside_)}" if (outside_ := [_named(one) for one in outside]) else "",
    ]
    return f"{concept}: {'; '.join(part for part in parts if part)}."


def _named(one: RelatedWord) -> str:
    return f"{one.word} ({one.cosine:.2f})"


def solve_around(read: Gathered, settings: RealeraSettings) -> Tensor:
    """The change (D, D) by which every projection is multiplied, ``W = W0 (I + change)``, in float64."""
    generator = torch.Generator().manual_seed(settings.seed)
    system = settings.preserve_scale * read.preserved  # (D, D)
    pull = torch.zeros_like(system)
    for ours, theirs in read.moved[0]:
        system = system + settings.erase_scale * outer_sum(ours)
        pull = pull + settings.erase_scale * (theirs - ours).T @ ours
        for e, a in zip(ours, theirs, strict=True):
            x = mine(e, settings.neighbours, settings.radius, (settings.inside, settings.nearest), generator)
            if len(x):
                scale = settings.erase_scale * settings.neighbour_scale / len(x)
                system = system + scale * outer_sum(x)
                pull = pull + scale * (a - x).T @ x
            u = mine(e, settings.beyond, settings.ring, (-1.0, settings.inside), generator, settings.radius)
            if len(u):
                system = system + settings.ring_scale / len(u) * outer_sum(u)
    system = system + settings.damping * torch.eye(len(system), dtype=torch.float64)
    return torch.linalg.solve(system, pull.T).T


def mine(
    centre: Tensor,
    count: int,
    radius: float,
    cosines: tuple[float, float],
    generator: torch.Generator,
    least: float = 0.0,
) -> Tensor:
    """Vectors around one, drawn at random, of a cosine with it within a band.

    Args:
        centre: (D,).
        count: how many are kept at most; twice as many are drawn.
        radius: the greatest distance, in lengths of the centre. ``v`` is drawn at the centre's size (ours: so that the
            scale of a text encoder does not matter; for the paper's it does not).
        cosines: least and greatest.
        generator: of the draw.
        least: the least distance.

    Returns:
        (m, D), m at most ``count``.
    """
    length = centre.norm()
    size = length / len(centre) ** 0.5
    v = size * torch.randn(2 * count, len(centre), generator=generator, dtype=centre.dtype)
    away = torch.nn.functional.normalize(v - centre, dim=1)  # (2 count, D)
    share = torch.rand(2 * count, 1, generator=generator, dtype=centre.dtype)
    drawn = centre + length * (least + (radius - least) * share) * away
    alike = torch.nn.functional.cosine_similarity(drawn, centre[None])
    return drawn[(alike >= cosines[0]) & (alike <= cosines[1])][:count]


METHOD = Eraser(
    name="realera",
    title="RealEra, its closed form",
    help="Erases what lies around a concept with it, the nearest words of the vocabulary included, keeps what lies "
    "beyond, and says which words lie inside. Takes seconds, and a few more for each concept.",
    presets={
        "paper": RealeraSettings(templates=("{}", "a photo of the {}"), combine="separate", related=0),
        "small": RealeraSettings(
            token_mode="from_subject_to_end",
            templates=SENTENCES,
            damping=0.1,
            preserve_unconditional=True,
            rank_tolerance=1e-3,
            inside=0.95,
            nearest=0.999,
            neighbour_scale=0.1,
            ring_scale=0.02,
        ),
    },
    edit=_edit,
    note="The paper publishes no numbers for its radii and weights: those here were chosen on the lab model. Its LoRA, "
    "which is trained to predict the anchor's noise, is in Train Erasure.",
)
