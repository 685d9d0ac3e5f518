"""Prompts of classes and their concepts, as people write them, and pictures judged by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import torch
from torch import Tensor

from ....core.explain.scores import PictureScores
from ....core.messages import listed, shown
from ....core.recognise.diverse import pick_diverse
from ....core.recognise.soft_trim import TrimSettings
from ....core.recognise.zero_shot import ConceptBayes, concept_bayes
from ....core.steps import OnStep
from ...pictures.captioned_list import ListEntry, captioned_list
from ...pictures.figure_table import FAINT, GOOD, INK, MIDDLING
from ..paired_texts import word_features
from ..vision import picture_features

TEMPLATE = "a photo of a {class} with {concept}"
MOST_COMBINED = 500
"""Combinations of concepts that are looked at for a class."""
REASONS = 3
MOST_LEFT = 16
"""Pictures on a sheet beside those that were picked."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Pictures judged by classes.

    Attributes:
        found: probabilities, and what each prompt said.
        classes: K names.
        reasons: K lists of what each prompt of a class names: ``whiskers or pointed ears``.
    """

    found: ConceptBayes
    classes: tuple[str, ...]
    reasons: tuple[tuple[str, ...], ...]

    def why(self, picture: int) -> str:
        """The class of a picture and the concepts that carried it, for people."""
        kind = int(self.found.probabilities[picture].argmax())
        share = float(self.found.probabilities[picture, kind])
        carried = ", ".join(self.reasons[kind][index] for index in self.found.carried(picture, kind, REASONS))
        return f"{self.classes[kind]} {share:.0%}" + (f", because of {carried}" if carried else "")

    def scores(self) -> PictureScores:
        """Probabilities, with a reason for each picture."""
        reasons = tuple(self.why(index) for index in range(len(self.found.probabilities)))
        return PictureScores(self.found.probabilities, self.classes, "probability", reasons=reasons)


def read_classes(text: str) -> Mapping[str, tuple[str, ...]]:
    """``cat: whiskers, pointed ears`` a line to class and concepts; a class without concepts is its own.

    Raises ``ValueError`` for fewer than two classes, and a class that is named twice.
    """
    classes: dict[str, tuple[str, ...]] = {}
    for line in (line.strip() for line in text.splitlines()):
        name, _, rest = line.partition(":")
        if not name.strip():
            continue
        if name.strip() in classes:
            raise ValueError(f"the class {shown(name.strip())} is written twice; put all its concepts in one line")
        classes[name.strip()] = tuple(dict.fromkeys(one.strip() for one in rest.split(",") if one.strip()))
    if len(classes) < 2:
        raise ValueError(
            "write at least two classes, one per line, each with its concepts: cat: whiskers, pointed ears; got "
            f"{listed(classes) or 'none'}"
        )
    return classes


def check_class_template(template: str) -> str:
    """A template with its two places. Raises ``ValueError`` for one without them."""
    if "{class}" not in template or "{concept}" not in template:
        raise ValueError(f"the template must hold {{class}} and {{concept}}, got {shown(template)}")
    return template


def prompts_of(name: str, concepts: Sequence[str], template: str, together: int) -> list[tuple[str, str]]:
    """Prompts of a class, each with what it names; several concepts at a time are joined by "or"."""
    if not concepts:
        return [(template.split("{class}")[0] + name, name)]
    groups = combinations(concepts, min(together, len(concepts)))
    named = [" or ".join(group) for group in islice(groups, MOST_COMBINED)]
    return [(template.replace("{class}", name).replace("{concept}", one), one) for one in named]


def judge(
    clip_vision: Any,
    clip: Any,
    pictures: Tensor,
    classes: Mapping[str, Sequence[str]],
    template: str,
    together: int,
    most: int,
    settings: TrimSettings,
    on_step: OnStep | None = None,
) -> Judged:
    """Pictures (P, 3, H, W) judged by classes with concepts; of the prompts of a class the ``most`` different ones, or
    of all classes the same ones where they have the same concepts.

    Raises as :func:`word_features` does for encoders that are no pair, and :func:`concept_bayes`.
    """
    seen = picture_features(clip_vision, pictures)
    written = {name: prompts_of(name, concepts, template, together) for name, concepts in classes.items()}
    texts = [text for prompts in written.values() for text, _ in prompts]
    features = word_features(clip_vision, clip, texts, seen.shape[1], "{}", on_step)
    rows_of = features.split([len(prompts) for prompts in written.values()])
    named = [tuple(one for _, one in prompts) for prompts in written.values()]
    shared = len(set(named)) == 1
    alike = pick_diverse(torch.stack(rows_of).mean(0), most) if shared else None
    picked = [pick_diverse(rows, most) if alike is None else alike for rows in rows_of]
    kept = [rows[chosen] for rows, chosen in zip(rows_of, picked, strict=True)]
    reasons = tuple(tuple(of[index] for index in chosen) for of, chosen in zip(named, picked, strict=True))
    return Judged(concept_bayes(seen, kept, settings, shared=shared), tuple(written), reasons)


def best_of(scores: PictureScores, name: str, count: int) -> list[int]:
    """Pictures with the highest scores by a name, the best first; by their own best score where no name is given.

    Raises ``ValueError`` for a name that the scores do not have.
    """
    if name and name not in scores.names:
        raise ValueError(f"these scores have no {shown(name)}; they have {listed(scores.names)}")
    column = scores.values[:, scores.names.index(name)] if name else scores.values.amax(1)
    return column.argsort(descending=True, stable=True).tolist()[:count]


def reason_of(scores: PictureScores, index: int, name: str) -> str:
    """Why a picture was picked, for people."""
    said = _score_of(scores, index, name)
    return f"{said} ({scores.reasons[index]})" if scores.reasons else said


def best_sheet(
    scores: PictureScores, pictures: Tensor, chosen: Sequence[int], name: str, called: Sequence[str]
) -> Tensor:
    """IMAGE (1, h, w, 3): the picked pictures, the best first, then some of the others, each with its name, score and
    reason."""
    left = [index for index in best_of(scores, name, len(pictures)) if index not in chosen][:MOST_LEFT]
    entries = []
    for number, index in enumerate([*chosen, *left], 1):
        picked = number <= len(chosen)
        verdict = "picked" if picked else "not picked"
        head = f"{number}. {called[index]}, {verdict}: {_score_of(scores, index, name)}"
        lines = [(head, GOOD if picked else MIDDLING)]
        lines += [(scores.reasons[index], INK if picked else FAINT)] if scores.reasons else []
        entries.append(ListEntry(pictures[index], lines))
    return captioned_list(entries)


def _score_of(scores: PictureScores, index: int, name: str) -> str:
    """The score of a picture by a name, or the best one that it has."""
    column = scores.names.index(name) if name else int(scores.values[index].argmax())
    return f"{scores.names[column]} {float(scores.values[index, column]):.2f}"
