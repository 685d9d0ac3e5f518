"""``bench recognise --what words``: classes distinguished by words alone, and one false concept.

A case is a folder of pictures of one thing each. Objects, styles and colours are recognised by one prompt a class; by
prompts that name other things as well, as CGBC's do (styles and colours are an object's concepts, and objects those of
a style or a colour), joined by their mean, by the soft trim as published, with its upper bound, and with that bound on
what a class has beyond the median class; and by Concept Matrix Search. Then one concept of a wrong class of each
picture is made to fit as well as the best prompt of its own class (a false concept) or twenty deviations above the
others of the wrong class (a far one), or one of its own class as badly as the worst prompt of all (a misleading one).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.recognise.heads.training import balanced
from ...core.recognise.soft_trim import TrimSettings, beyond_others, soft_trim
from ...core.recognise.zero_shot import SCALE, concept_matrix
from ...host.jobs.paired_texts import word_features
from ...host.jobs.vision import picture_features
from ...lab.world.words import world_words
from ..controls import Control
from ..explain.explain import Parts, prepare
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval
from .class_cases import KINDS, make_class_folder
from .heads import TEMPLATES

PICTURES = 240
JOINS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda scores: scores.mean(-1),
    "trim": lambda scores: soft_trim(scores, TrimSettings(upper=0))[0],
    "bounded": lambda scores: soft_trim(scores)[0],
    "compared": lambda scores: soft_trim(beyond_others(scores))[0],
}
"""Ways of joining the scores (P, K, C) of the classes' prompts: their mean, the published trim, and ours: with an upper
bound, and with it on what each class has beyond the others."""
SPOILED = ("as it is", "false concept", "far false concept", "misleading concept")
FAR = 20.0
"""Standard deviations of the other prompts' scores, above their mean."""
READERS = ("prompt", *JOINS, "matrix")


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder."""
    options = request.options
    folder = make_class_folder(request.split, index, request.seed, options.get("pictures", PICTURES))
    seen = picture_features(parts.vision, folder.pictures)
    row: Row = {}
    for kind in KINDS:
        classes, truth = folder.classes[kind], folder.labels[kind]
        if options.get("shuffled"):
            truth = truth[torch.randperm(len(truth), generator=torch.Generator().manual_seed(index))]
        beside = [
            name for other in KINDS if other != kind and "object" in (kind, other) for name in folder.classes[other]
        ]
        plain = _texts(parts, seen, [TEMPLATES[kind].format(one) for one in classes])
        prompts = torch.stack([_texts(parts, seen, [_prompt(kind, one, more) for more in beside]) for one in classes])
        scores = SCALE * torch.einsum("pd,kcd->pkc", seen, prompts)  # (P, K, C)
        words = _texts(parts, seen, [f"a photo of a {word}" for word in world_words()])
        answers = {"prompt": (seen @ plain.T).argmax(1), "matrix": concept_matrix(seen, plain, words)[0].argmax(1)}
        row[kind] = {name: round(balanced(one, truth, len(classes)), 4) for name, one in answers.items()}
        generator = torch.Generator().manual_seed(index)
        for spoil in SPOILED:
            given = _spoiled(scores, truth, spoil, generator)
            for name, join in JOINS.items():
                row[kind][f"{name}, {spoil}"] = round(balanced(join(given).argmax(1), truth, len(classes)), 4)
    return row


def _texts(parts: Parts, seen: Tensor, texts: Sequence[str]) -> Tensor:
    return word_features(parts.vision, parts.clip, texts, seen.shape[1], "{}")


def _prompt(kind: str, name: str, more: str) -> str:
    return f"a {more} {name}" if kind == "object" else f"a {name} {more}"


def _spoiled(scores: Tensor, truth: Tensor, spoil: str, generator: torch.Generator) -> Tensor:
    """Scores (P, K, C) with one concept of one class of each picture changed."""
    count, classes, concepts = scores.shape
    rows, made = torch.arange(count), scores.clone()
    concept = torch.randint(concepts, (count,), generator=generator)
    wrong = (truth + torch.randint(1, classes, (count,), generator=generator)) % classes
    if spoil == "false concept":
        made[rows, wrong, concept] = scores[rows, truth].amax(1)
    elif spoil == "far false concept":
        own = scores[rows, wrong]  # (P, C)
        made[rows, wrong, concept] = own.mean(1) + FAR * own.std(1, correction=0)
    elif spoil == "misleading concept":
        made[rows, truth, concept] = scores.flatten(1).amin(1)
    return made


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each accuracy's mean over folders with an interval, by kind."""
    return {
        kind: {name: interval([row[kind][name] for row in rows], request.seed) for name in rows[0][kind]}
        for kind in KINDS
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    names = list(result["summary"][KINDS[0]])
    rows = [[name, *(with_interval(result["summary"][kind][name]) for kind in KINDS)] for name in names]
    head = f"bench recognise words: {result['cases']} {result['split']} folders, accuracy"
    return f"{head}\n{aligned([['', *KINDS], *rows])}\n"


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {kind: {name: one["mean"] for name, one in of.items()} for kind, of in summary.items()}


def _objects(summary: Mapping[str, Any]) -> float:
    return float(summary["object"]["compared, as it is"]["mean"])


CONTROLS = (
    Control(
        "shuffled", "accuracy of objects against the answers of other pictures", _objects, 0.25, {"shuffled": True}
    ),
)
BENCH = Bench("recognise_words", 2, prepare, measure, figures, table, headline)
