"""``bench audit``: does an audit of drawings find what was withheld, what was over-represented and what was copied?

A case is two folders of scenes of the same eight kinds of objects. In the second, two kinds are withheld, one is in
most of the pictures instead of a fifth, all others are as frequent as before, and one picture is a copy of one of the
first folder. With ``--of drawings`` the second folder is drawn by the model, from prompts that say what its scenes
show; with ``--of fine-tune`` by a model that was fine-tuned on its scenes, from the one prompt of all of them, which
names nothing. Ingredients are found in both folders together. A finding is right where its object, the one whose
pictures its ingredient tells best, has changed as the finding says: was withheld, is over-represented, or happens to be
as much rarer or more frequent in these pictures. What is in drawings, the judge says.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.explain.audit import audit, together
from ...core.explain.bank import ConceptCodes
from ...core.explain.probe import auroc, enough
from ...core.explain.registry import METHODS, encode
from ...lab.judge.judge import load_judge
from ...lab.world.captions import Phrase, write_caption
from ...lab.world.scene import Look
from ..command import add_common_arguments, run_command
from ..drawing import GUIDANCE, draw
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval
from ..surgery.tunes import RANK, train
from .explain import SOURCES, Parts, prepare, record
from .folders import Folder, make_folder, skewed_folder

PICTURES, COUNT, FACTOR, TOGETHER = 100, 128, 2.0, 8
"""Of a folder; ingredients; the factor of the node; pictures that are drawn at once."""
OF = ("scenes", "drawings", "fine-tune")
PROMPT, TUNED, RATE, VARIOUS = "a picture", 240, 5e-3, 1.5
"""Of fine-tunes: the caption of every scene, which is drawn then; steps and rate of training; a guidance that leaves
the drawings as various as the scenes."""
FIGURES = {
    "missing": "withheld objects found, of 2",
    "excess": "over-represented object found, of 1",
    "all": "all three found",
    "false": "other findings, groups of ingredients",
    "copy": "the copy found, with its original",
    "false_copies": "other pictures called copies",
}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One pair of folders."""
    options = request.options
    count = int(options.get("pictures", PICTURES))
    reference = make_folder(request.split, index, request.seed, count)
    skewed, skew, looks = skewed_folder(request.split, index, request.seed, count)
    rng = random.Random(f"audit:{request.split}:{request.seed}:{index}")
    made, copied = rng.randrange(count), rng.randrange(count)
    drawn = _second(parts, skewed, looks, rng, options)
    drawn[made] = reference.pictures[copied]
    before = _known(reference)
    after = _known(skewed) if options.get("of", OF[0]) == OF[0] else _seen(drawn)
    first, second = (record(parts, pictures, options) for pictures in (reference.pictures, drawn))
    method = METHODS[options.get("method", "ra_sae")]
    many = int(options.get("count", COUNT))
    bank = method.bank(first.joined(second), many, method.preset("small"), seed=index, seeds=1)
    codes = encode(bank, first), encode(bank, second)
    found = audit(*codes, seed=index)
    right, wrong = _judged(
        [
            ("missing", together(codes[0], found.missing(FACTOR)), codes[0], before),
            ("excessive", together(codes[1], found.excessive(FACTOR)), codes[1], after),
        ],
        _changes(before, after),
    )
    missing, excess = len({*skew.missing} & right["missing"]), float(skew.excess in right["excessive"])
    return {
        "skew": [*skew.missing, skew.excess],
        "missing": missing,
        "excess": excess,
        "all": float(missing == 2 and excess == 1),
        "false": len(wrong),
        "wrong": wrong,
        "copy": float((made, copied) in found.copies),
        "false_copies": sum(pair != (made, copied) for pair in found.copies),
        "explained": float(bank.metadata["explained"]),
    }


def _second(
    parts: Parts, skewed: Folder, looks: Sequence[Sequence[Look]], rng: random.Random, options: Mapping[str, Any]
) -> Tensor:
    """(P, 3, H, W) the second folder, as the options have it."""
    if options.get("of") == "drawings":
        return _drawings(parts, looks, rng)
    if options.get("of") == "fine-tune":
        return _tuned_drawings(parts, skewed.pictures, rng, int(options.get("steps", TUNED)))
    return skewed.pictures.clone()


def _known(folder: Folder) -> dict[str, Tensor]:
    """Object to which pictures of a folder show it, (P,) bool."""
    return {word: folder.present((kind, word)) for kind, word in folder.factors if kind == "object"}


def _seen(pictures: Tensor) -> dict[str, Tensor]:
    """Object to which drawings show it in the judge's eyes, (P,) bool."""
    judge = load_judge()
    found = judge.found(judge.look(pictures))
    return {word: torch.tensor([word in one for one in found]) for word in sorted(frozenset().union(*found))}


def _changes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """Object to how many times as many pictures show it in the second folder."""
    counts = {
        word: tuple(int(of[word].sum()) if word in of else 0 for of in (before, after)) for word in {**before, **after}
    }
    return {word: later / max(1, earlier) for word, (earlier, later) in counts.items()}


Found = tuple[str, list[list[int]], ConceptCodes, Mapping[str, Tensor]]
"""A kind of finding, its groups of ingredients, and the codes and objects of the folder that has more of them."""


def _judged(findings: Sequence[Found], changes: Mapping[str, float]) -> tuple[dict[str, set[str]], list[str]]:
    """The objects that were rightly found, by the kind of finding, and what was found beside, for people."""
    right: dict[str, set[str]] = {"missing": set(), "excessive": set()}
    wrong = []
    for kind, groups, codes, objects in findings:
        for group in groups:
            named = {_object_of(codes, objects, index) for index in group}
            fits = {
                name
                for name in named
                if name and (changes[name] <= 1 / FACTOR if kind == "missing" else changes[name] >= FACTOR)
            }
            right[kind] |= fits
            wrong += [] if fits else [f"{kind}: {', '.join(sorted(named))}"]
    return right, wrong


def _object_of(codes: ConceptCodes, objects: Mapping[str, Tensor], index: int) -> str:
    """The object whose pictures an ingredient tells best; nothing, where too few pictures show any."""
    scores = codes.scores()[:, index]
    tried = {word: float(auroc(scores, present)) for word, present in objects.items() if enough(present)}
    return max(tried, key=lambda word: tried[word], default="")


def _drawings(parts: Parts, looks: Sequence[Sequence[Look]], rng: random.Random) -> Tensor:
    """(P, 3, H, W) drawn by the model from what scenes show."""
    phrases = [[Phrase(look.word, look.style, look.colour) for look in of] for of in looks]
    return _drawn(parts, [write_caption(rng, of) for of in phrases], rng)


def _tuned_drawings(parts: Parts, scenes: Tensor, rng: random.Random, steps: int) -> Tensor:
    """(P, 3, H, W) as many drawings as scenes, by a LoRA that was trained on the scenes."""
    change = train(parts.backbone, [(scene[None], PROMPT) for scene in scenes], RANK, "all", steps, RATE)
    with parts.backbone.adapted(change):
        return _drawn(parts, [PROMPT] * len(scenes), rng, guidance=VARIOUS)


def _drawn(parts: Parts, prompts: Sequence[str], rng: random.Random, guidance: float = GUIDANCE) -> Tensor:
    """(P, 3, H, W) of as many prompts, some at once."""
    seeds = [rng.randrange(2**31) for _ in prompts]
    made = [
        draw(parts.backbone, prompts[start : start + TOGETHER], seeds[start : start + TOGETHER], guidance=guidance)
        for start in range(0, len(prompts), TOGETHER)
    ]
    return torch.cat(made)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over cases."""
    return {name: interval([row[name] for row in rows], request.seed) for name in FIGURES}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    options = result["options"]
    head = (
        f"bench audit: {result['cases']} {result['split']} pairs of folders of {options.get('pictures', PICTURES)} "
        f"{options.get('of', OF[0])}, {options.get('count', COUNT)} ingredients by {options.get('method', 'ra_sae')}"
    )
    rows = [[said, with_interval(result["summary"][name])] for name, said in FIGURES.items()]
    return f"{head}; 95% intervals\n{aligned(rows)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench audit``."""
    add_common_arguments(parser, cases=4)
    parser.add_argument("--of", choices=OF, default=OF[0], help="what the second folder is (default: %(default)s)")
    parser.add_argument("--method", choices=METHODS, default="ra_sae", help="default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default=SOURCES[0], help="default: %(default)s")
    parser.add_argument("--count", type=int, default=COUNT, help="ingredients (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of a folder (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    names = ("of", "method", "source", "count", "pictures")
    return run_command(BENCH, args, {name: getattr(args, name) for name in names})


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: summary[name]["mean"] for name in FIGURES}


BENCH = Bench("audit", 2, prepare, measure, figures, table, headline)
