"""``bench prompts``: what the structure of prompts does for pictures of several things.

Each case asks for two, three or four objects in colours of their own, and draws them from the same noise by the plain
prompt, with Attention Locality, and with one weight for each phrase of Chunk Prompt. The judge says whether exactly
those objects are there, and in their own colours; a colour that is another's or none counts as leak. Beside that the
phrases of captions are compared with what the captions were written from.

With ``--of style`` two objects are asked for, one of them in a style: *a neon cat and a house*. Leak is then how often
the other has that style, too, beside how often the first has it.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.backbone import Backbone, Conditioning
from ..core.compose.composer import leave, share_of
from ..core.compose.composition import Concept, compose
from ..core.prompts.chunks import possible_starts
from ..core.prompts.locality import LocalitySettings, begin
from ..core.sampling import ddim
from ..host.jobs.prompting.phrases import lines_of_phrases, phrases_of
from ..lab.judge.judge import Judge, Reading, load_judge
from ..lab.world.atlas import load_atlas
from ..lab.world.scene import SceneSettings, sample_scene
from .cases import SEEDS_PER_RUN
from .command import add_common_arguments, backbone_for, run_command
from .compose.cases import Wanted, one_styled, wanted
from .compose.reading import answers, exact
from .drawing import GUIDANCE, SIDE, STEPS, unconditional
from .harness import Bench, Request, Row
from .summary import aligned, interval, means, with_interval

WAYS = {"plain": "plain prompt", "local": "Attention Locality", "weighted": "phrase weights"}
FIGURES: Mapping[str, Mapping[str, str]] = {
    "colour": {"exact": "exactly those objects", "leak": "colours of objects found that are not their own"},
    "style": {
        "exact": "exactly those objects",
        "leak": "other objects found that have its style",
        "own": "objects found that have their style",
    },
}
"""What is asked for to what is measured."""
CAPTIONS, WHOLE = 20, 10_000
PHRASES = {"phrases": "phrases of Chunk Prompt", "every": "a phrase at every function word"}


def prepare(request: Request) -> tuple[Backbone, Judge]:
    """The model and the judge."""
    return backbone_for(request), load_judge()


def measure(prepared: tuple[Backbone, Judge], request: Request, index: int) -> Row:
    """One case by every way, and the phrases of some captions."""
    backbone, judge = prepared
    own_seed = request.seed * SEEDS_PER_RUN + index
    of = request.options.get("of", "colour")
    asked = (
        one_styled(request.split, request.seed, index)
        if of == "style"
        else wanted(request.split, request.seed, index)[0]
    )
    row: Row = {"seed": own_seed, "prompt": asked.prompt, "ways": {}}
    for way in WAYS:
        reading = judge.look(draw(backbone, asked, way, request.options, own_seed))
        (found,) = judge.found(reading)
        seen = _styles(judge, reading, asked, found) if of == "style" else _colours(judge, reading, asked, found)
        row["ways"][way] = {"exact": exact(judge, reading, asked, found), **seen}
    return row | {"captions": [_phrases(backbone, request.split, own_seed * CAPTIONS + n) for n in range(CAPTIONS)]}


def _colours(judge: Judge, reading: Reading, asked: Wanted, found: frozenset[str]) -> dict[str, list[bool]]:
    """Of each object found, whether its colour is its own."""
    seen = answers(judge, reading, asked, found)
    return {"colours": [bool(one["colour"]) for one in seen if one["found"] and one["colour"] is not None]}


def _styles(judge: Judge, reading: Reading, asked: Wanted, found: frozenset[str]) -> dict[str, list[bool]]:
    """Whether the object with a style has it, and whether the other is without it; nothing of objects not found."""
    styles, (said,) = load_atlas().styles, {style for style in asked.styles if style}
    own, others = [], []
    for kind, style in zip(asked.kinds, asked.styles, strict=True):
        if kind.name in found:
            shown = styles[int(reading.style_of(judge.index(kind.name))[0].argmax())]
            (own if style else others).append((shown == said) == bool(style))
    return {"own": own, "others": others}


@torch.no_grad()
def draw(backbone: Backbone, asked: Wanted, way: str, options: Mapping[str, Any], seed: int) -> Tensor:
    """The picture (1, 3, H, W) by one of :data:`WAYS`."""
    cell = SIDE // backbone.latent_downscale
    conditioning, edit = backbone.encode_text([asked.prompt]), None
    if way == "local":
        composition = compose(backbone, asked.prompt, [Concept(text) for text in asked.texts], texts=False)
        settings = LocalitySettings(dials=(float(options["dial"]),) * len(asked.texts))
        run = begin(composition, settings, share_of(backbone.schedule.steps))
        conditioning, edit = composition.conditioning, None if run.edit is leave else run.edit
    elif way == "weighted":
        conditioning = _weighted(backbone, asked, float(options["weight"]))
    sizes = {"steps": STEPS, "guidance": GUIDANCE, "seed": [seed]}
    latent = ddim(backbone, conditioning, unconditional(backbone), (cell, cell), edit=edit, **sizes)
    return backbone.decode_latent(latent).clamp(0, 1)


def _weighted(backbone: Backbone, asked: Wanted, weight: float) -> Conditioning:
    """The prompt with the same weight for each phrase that names an object."""
    phrases = phrases_of(backbone, asked.prompt, 0.5, {})[0]
    names = {kind.name for kind in asked.kinds}
    weights = [weight if names & set(phrase.words) else 1.0 for phrase in phrases]
    return backbone.encode_text(lines_of_phrases(asked.prompt, phrases, weights, WHOLE))


def _phrases(backbone: Backbone, split: str, seed: int) -> dict[str, list[int]]:
    """Of a caption: how many beginnings of phrases are found and right, found, and there are; the same for every word
    at which one could begin. A place (*at the top*) belongs to its thing; all else begins a phrase."""
    caption = sample_scene(split, seed, SceneSettings(size=(SIDE, SIDE), counts=(1, 3))).caption
    found = phrases_of(backbone, caption, 0.5, {})[0]
    words = caption.replace(",", " ,").split()
    possible = {number for number in possible_starts(words) if number}
    true = {number for number in possible if words[number] != "at"}
    begun = {len(caption[: phrase.span[0]].replace(",", " ,").split()) for phrase in found} - {0}
    return {
        "phrases": [len(begun & true), len(begun), len(true)],
        "every": [len(possible & true), len(possible), len(true)],
    }


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each way's figures with intervals, and F1 of the beginnings of phrases over captions."""
    summary: dict[str, Any] = {}
    for way in WAYS:
        seen = [row["ways"][way] for row in rows]
        summary[way] = {"exact": interval([float(one["exact"]) for one in seen], request.seed)}
        leak = [float(not right) for one in seen for right in one["others" if "others" in one else "colours"]]
        summary[way]["leak"] = interval(leak, request.seed) if leak else None
        if "own" in seen[0]:
            own = [float(right) for one in seen for right in one["own"]]
            summary[way]["own"] = interval(own, request.seed) if own else None
    counts = [caption for row in rows for caption in row["captions"]]
    for name in PHRASES:
        right, found, true = (sum(one[name][at] for one in counts) for at in range(3))
        summary[name] = {"f1": 2 * right / max(found + true, 1)}
    return summary


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary, figures = result["summary"], FIGURES[result["options"].get("of", "colour")]
    rows = [[said, *(with_interval(summary[way][name]) for name in figures)] for way, said in WAYS.items()]
    phrases = [[said, f"{summary[name]['f1']:.3f}"] for name, said in PHRASES.items()]
    head = f"bench prompts: {result['cases']} cases, {result['split']} split, seed {result['seed']}; 95% intervals"
    return f"{head}\n{aligned([['', *figures.values()], *rows])}\n{aligned([['', 'F1 of beginnings'], *phrases])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench prompts``."""
    add_common_arguments(parser, cases=48)
    parser.add_argument("--of", choices=list(FIGURES), default="colour", help="what may leak (default: %(default)s)")
    parser.add_argument("--dial", type=float, default=1.0, help="of Attention Locality (default: %(default)s)")
    parser.add_argument("--weight", type=float, default=1.2, help="of phrases of objects (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    options = {"dial": args.dial, "weight": args.weight}
    return run_command(BENCH, args, options if args.of == "colour" else {"of": args.of, **options})


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: means(group) if name in WAYS else group for name, group in summary.items()}


BENCH = Bench("prompts", 1, prepare, measure, figures, table, headline)
