"""The tables of ``docs/recognise-results.md``, from the files of ``bench recognise``, ``bench segment`` and ``bench
decompose``.

A file that is not there is said to be missing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...bench.recognise.class_cases import KINDS
from ...bench.recognise.correcting import GAINS
from ...bench.recognise.correcting import SCORES as CORRECTED
from ...bench.recognise.dependencies import SCORES as DEPENDENCIES
from ...bench.recognise.dependencies import WAYS as CAPTIONED
from ...bench.recognise.heads import PLACES, READERS
from ...bench.recognise.subjects import SCORES as SUBJECTS
from ...bench.recognise.withheld import SAID as RESTORED
from ...bench.recognise.words import JOINS, SPOILED
from ...bench.summary import with_interval
from ...core.recognise.heads.registry import LAYERS
from .cards import table
from .files import controls, heading, missing, read

Found = Mapping[str, Any]

OF_SUBJECTS = {
    "own_1": "contrast, 1, own",
    "own_5": "contrast, 5, own",
    "own_20": "contrast, 20, own",
    "own_5_prototypes": "prototypes, 5, own",
    "any_5": "contrast, 5, any",
    "hand_5": "contrast, 5, hand",
}
"""File to method, examples and look."""
TITLES = {"object": "objects", "style": "styles", "colour": "colours"}
ASKED = {"zero_shot": "zero-shot prompts", "probe": "probe of raw numbers"}
PLACED = {"pointing": "pointing", "energy": "share of it on the thing", "iou": "IoU"}
JOINED = {
    "mean": "mean",
    "trim": "soft trim, as published",
    "bounded": "soft trim with the upper bound",
    "compared": "the same, beyond the other classes",
}


def of_files(write: Callable[[Sequence[Found]], str], names: Sequence[str], folder: Path) -> str:
    """A part of the page: what is written from some files, each with its cases, command and controls."""
    files = [f"recognise/{name}.json" for name in names]
    found = [read(folder / name) for name in files]
    gone = [missing(name) for name, one in zip(files, found, strict=True) if one is None]
    held = [one for one in found if one is not None]
    if gone:
        return "\n\n".join(gone)
    said = [" ".join(filter(None, (heading(one, name), controls(one)))) for one, name in zip(held, files, strict=True)]
    return "\n\n".join([write(held), *said])


def subjects(found: Sequence[Found]) -> str:
    """How well subjects are found."""
    head = ["method, examples, look", "IoU", "recall (IoU ≥ 0.5)", "pointing", "AUROC of the scores"]
    rows = [[*head, "found in pictures without it"]]
    for said, one in zip(OF_SUBJECTS.values(), found, strict=True):
        rows.append([said, *(with_interval(one["summary"][name]) for name in SUBJECTS)])
    return table(rows)


def heads(found: Sequence[Found]) -> str:
    """What concept heads tell apart, beside labels in random order, and where they look."""
    held = found[0]["summary"]
    rows = [["", *TITLES.values()]]
    for name in READERS:
        said = ASKED.get(name, f"head, `{name}`")
        rows.append([said, *(with_interval(held["accuracy"][kind][name]) for kind in KINDS)])
    for name in LAYERS:
        said = f"labels in random order, `{name}`"
        rows.append([said, *(with_interval(held["permuted"][kind][name]) for kind in KINDS)])
    for name in LAYERS:
        said = f"strongest concept is in the picture, `{name}`"
        rows.append([said, *(with_interval(held["existence"][kind][name]) for kind in KINDS)])
    for name in (*PLACES, "area"):
        said = "share of the picture that the thing covers" if name == "area" else f"maps of `local`: {PLACED[name]}"
        rows.append([said, *(with_interval(held["place"][kind][name]) for kind in KINDS)])
    for name in PLACES:
        rows.append(
            [f"maps of words, untrained: {PLACED[name]}", *(with_interval(held["words"][kind][name]) for kind in KINDS)]
        )
    rows.append(["pixel check of `none` passes", *(with_interval(held["pixels"][kind]) for kind in KINDS)])
    impure = [["Oracle Impurity Score", "score", "of the truth, by chance"]]
    impure += [
        [f"`{name}`", *(with_interval(held["impurity"][name][part]) for part in ("score", "noise"))] for name in LAYERS
    ]
    return f"{table(rows)}\n\n{table(impure)}"


def captions(found: Sequence[Found]) -> str:
    """What is restored of captions with withheld words."""
    rows = [["", "precision", "recall"]]
    for windows, one in zip(("with windows", "whole pictures"), found, strict=True):
        for name, said in RESTORED.items():
            held = one["summary"][name]
            rows.append([f"{windows}, {said}", *(f"{held[part]:.3f}" for part in ("precision", "recall"))])
    held = found[0]["summary"]
    near = f"Captions of near pictures mention {with_interval(held['near'])} of the withheld words."
    planted = f"in {held['planted']} of {held['folders']} folders, and {held['others']} other pairs"
    lint = f"Lint Concepts names the pair that was planted {planted}."
    return f"{table(rows)}\n\n{near} {lint}"


def segments(found: Sequence[Found]) -> str:
    """How well pictures are divided among words."""
    held = {name: with_interval(value) for name, value in found[0]["summary"].items()}
    rows = [
        ["words", "mIoU"],
        [f"those that were found (precision {held['precision']}, recall {held['recall']})", held["short"]],
        ["the full vocabulary", held["full"]],
        ["the true ones", held["true"]],
        ["gain of those found over the full vocabulary", held["gain"]],
    ]
    return table(rows)


def embeddings(found: Sequence[Found]) -> str:
    """What embeddings are made of, and what edits of them do."""
    once, strong = (one["summary"] for one in found)
    named = [
        ["presence of each concept", "AUROC"],
        ["weights", with_interval(once["auroc"])],
        ["cosines with the words, without a folder", with_interval(once["cosine"])],
        ["a ridge regression of the raw features", with_interval(once["probe"])],
        ["R2 of the embedding", with_interval(once["explained"])],
    ]
    parts = ("new", "old", "style")
    edited = [["swap", "has the new object", "has the old one", "has the style"]]
    edited.append(["none", *(with_interval(once[f"{part}_before"]) for part in parts)])
    for strength, held in (("1", once), ("3", strong)):
        edited.append([f"strength {strength}", *(with_interval(held[part]) for part in parts)])
    return f"{table(named)}\n\n{table(edited)}"


def corrections(found: Sequence[Found]) -> str:
    """What one fixed concept does for the others."""
    held, said = found[0]["summary"], CORRECTED | GAINS
    return table([["", "share"], *([said[name], with_interval(held[name])] for name in said)])


def dependencies(found: Sequence[Found]) -> str:
    """Whether planted dependencies are listed, and followed."""
    held = found[0]["summary"]
    rows = [["captions", *DEPENDENCIES.values()]]
    rows += [[said, *(with_interval(held[way][name]) for name in DEPENDENCIES)] for way, said in CAPTIONED.items()]
    return table(rows)


def words(found: Sequence[Found]) -> str:
    """Classes told by words alone, and what one false or misleading concept costs."""
    held = found[0]["summary"]
    rows = [["", *TITLES.values()]]
    for name, said in (("prompt", "one prompt a class"), ("matrix", "CMS, by the lab's words")):
        rows.append([said, *(with_interval(held[kind][name]) for kind in KINDS)])
    for spoil in SPOILED:
        for name in JOINS:
            said = JOINED[name] if spoil == SPOILED[0] else f"{JOINED[name]}; one {spoil}"
            rows.append([said, *(with_interval(held[kind][f"{name}, {spoil}"]) for kind in KINDS)])
    return table(rows)


RECOGNISED: Mapping[str, Callable[[Path], str]] = {
    "subjects": partial(of_files, subjects, tuple(OF_SUBJECTS)),
    "heads": partial(of_files, heads, ("heads",)),
    "captions": partial(of_files, captions, ("captions", "captions_whole")),
    "segments": partial(of_files, segments, ("segment",)),
    "embeddings": partial(of_files, embeddings, ("decompose", "decompose_3")),
    "corrections": partial(of_files, corrections, ("corrections",)),
    "dependencies": partial(of_files, dependencies, ("dependencies",)),
    "judged by words": partial(of_files, words, ("words",)),
}
"""Marked part of the page to what writes it."""
