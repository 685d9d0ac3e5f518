"""``bench recognise --what subjects``: whether a subject that was shown in a few pictures is found in others.

A case is one object that no model has seen. It is learnt from some pictures with masks, and looked for in a folder of
which every other picture shows it: IoU of the part that was found with the exact mask, recall (IoU of half or more),
the pointing game (whether the strongest pixel lies on it), AUROC of the scores between pictures with and without it,
and in how many pictures without it something was found.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...core.explain.activations import Activations
from ...core.explain.probe import auroc
from ...core.explain.recording import record_denoiser
from ...core.explain.registry import encode
from ...core.recognise.parts.regions import find_subject
from ...core.recognise.registry import SUBJECTS
from ...host.jobs.vision import record_encoder
from ..controls import Control
from ..explain.explain import Parts, prepare
from ..harness import Bench, Request, Row
from ..metrics import iou_matrix
from ..summary import aligned, interval, with_interval
from .subject_cases import LOOKS, make_subject

EXAMPLES, SITE = 5, "all"
SCORES = {
    "iou": "IoU",
    "recall": "recall",
    "pointing": "pointing",
    "auroc": "AUROC",
    "false": "found without",
}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One subject."""
    options = request.options
    case = make_subject(
        request.split, index, request.seed, options.get("examples", EXAMPLES), options.get("look", LOOKS[0])
    )
    masks = case.example_masks.flip(2).roll(1, 0) if options.get("shuffled") else case.example_masks
    learner = SUBJECTS[options.get("method", next(iter(SUBJECTS)))]
    bank = learner.bank(_record(parts, case.examples, options), masks.float(), "subject", seed=index)
    found = find_subject(encode(bank, _record(parts, case.folder, options)), 0, case.folder)
    shows = case.folder_masks.flatten(1).any(1)
    peaks = found.soft.flatten(1).argmax(1)
    ious = [float(iou_matrix(found.masks[i : i + 1], case.folder_masks[i : i + 1])) for i in shows.nonzero().flatten()]
    without = torch.tensor([box is not None for box in found.boxes])[~shows]
    row = {
        "iou": sum(ious) / len(ious),
        "recall": sum(one >= 0.5 for one in ious) / len(ious),
        "pointing": float(case.folder_masks.flatten(1).gather(1, peaks[:, None])[shows].float().mean()),
        "auroc": float(auroc(found.scores, shows)),
        "false": float(without.float().mean()),
        "expected": float(bank.metadata["expected"]),
    }
    return {name: round(value, 4) for name, value in row.items()}


def _record(parts: Parts, pictures: torch.Tensor, options: Mapping[str, Any]) -> Activations:
    if options.get("source", "tower") == "tower":
        return record_encoder(parts.vision, pictures, options.get("site", SITE))
    return record_denoiser(parts.backbone, pictures, options.get("site", ""))


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each score's mean over subjects with an interval."""
    return {name: interval([row[name] for row in rows], request.seed) for name in (*SCORES, "expected")}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    options, summary = result["options"], result["summary"]
    head = (
        f"bench recognise: {result['cases']} {result['split']} subjects, {options['examples']} examples, "
        f"look {options['look']}, {options['method']} in {options['source']}"
    )
    return f"{head}\n{aligned([list(SCORES.values()), [with_interval(summary[name]) for name in SCORES]])}\n"


CONTROLS = (
    Control(
        "shuffled",
        "IoU, with the mirrored masks of other pictures",
        lambda summary: float(summary["iou"]["mean"]),
        0.25,
        {"shuffled": True},
    ),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: summary[name]["mean"] for name in SCORES}


BENCH = Bench("recognise", 1, prepare, measure, figures, table, headline)
