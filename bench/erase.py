"""``bench erase``: is an erased concept gone, by name and by synonym, and is everything else as it was?

Every picture is drawn twice from the same noise, before and after. Each case erases one object; every fourth case a
style. Half of the other objects are on the preserve list, half are not, so that both are measured.

The model knows the objects of the training split alone, so that these are shared out: settings are chosen on those that
``--split development`` erases, 15 of 48, and figures are those of the others, which ``--split test`` erases.
"""

import argparse
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.backbone import Backbone
from ..core.erase.registry import METHODS
from ..core.types import Erasure
from ..host.adapters import backbone_of, with_erasure, with_text_erasure
from ..host.shared.handles import ClipHandle, ModelHandle, VaeHandle
from ..lab.judge.judge import Judge, load_judge
from ..lab.world.atlas import ObjectKind, load_atlas
from ..lab.world.captions import Phrase
from .cases import SEEDS_PER_RUN
from .command import add_common_arguments, add_settings_argument, chosen_settings, load_parts, run_command
from .controls import Control
from .drawing import draw
from .harness import Bench, Request, Row
from .summary import aligned, interval, means, with_interval

STYLE_EVERY, TARGETS, OTHERS, NEIGHBOURS, SEEDS, TESTED, BESIDE = 4, 4, 32, 4, 4, 33, 16
FIGURES = {
    "found_before": ("erased object found before", None),
    "found_after": ("erased object found after", 0.05),
    "found_before_synonym": ("asked for by a synonym, before", None),
    "found_after_synonym": ("asked for by a synonym, after", 0.05),
    "others_before": ("other objects found before", None),
    "others_after": ("other objects found after", None),
    "preserved_after": ("of those, on the preserve list", None),
    "free_after": ("of those, not on it", None),
    "neighbours_before": ("the nearest four names, before", None),
    "neighbours_after": ("the nearest four names, after", None),
    "style_found_before": ("erased style found before", None),
    "style_found_after": ("erased style found after", None),
    "style_others_before": ("objects found before, without the style", None),
    "style_others_after": ("of those, after its erasure", None),
}
"""Figure to what it says and the aim."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What every case needs."""

    model: ModelHandle
    clip: ClipHandle
    vae: VaeHandle
    judge: Judge
    seen: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict)

    @cached_property
    def backbone(self) -> Backbone:
        return backbone_of(self.model, self.clip, self.vae)

    def without(self, erasure: Erasure) -> Backbone:
        """The backbone with an erasure in force."""
        return backbone_of(with_erasure(self.model, erasure), with_text_erasure(self.clip, erasure), self.vae)

    def found_before(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[frozenset[str]]:
        """What the judge finds in the pictures of the model as it is; each is drawn once."""
        wanted = list(zip(prompts, seeds, strict=True))
        fresh = [key for key in dict.fromkeys(wanted) if key not in self.seen]
        if fresh:
            pictures = draw(self.backbone, [prompt for prompt, _ in fresh], [seed for _, seed in fresh])
            self.seen.update(zip(fresh, self.judge.found(self.judge.look(pictures)), strict=True))
        return [self.seen[key] for key in wanted]


def prepare(request: Request) -> Parts:
    """The model and the judge."""
    return Parts(*load_parts(Path(request.model) if request.model else None, request.untrained), load_judge())


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One erasure: for every picture what was asked, and whether it was found before and after."""
    own_seed = request.seed * SEEDS_PER_RUN + index
    rng = random.Random(f"erase:{own_seed}" if request.split == "test" else f"erase:{request.split}:{own_seed}")
    if index % STYLE_EVERY == STYLE_EVERY - 1:
        return {"seed": own_seed, "what": "style"} | measure_style(parts, request, rng, own_seed, index // STYLE_EVERY)
    kind = kind_of_turn(request.seed, index, request.split)
    return {"seed": own_seed, "what": "object"} | measure_object(parts, request, rng, own_seed, kind)


def kind_of_turn(seed: int, index: int, split: str) -> ObjectKind:
    """Which object a case erases: each of the split's in turn, in an order of the seed; cases of styles take none."""
    kinds = erased_in(split, seed)
    return kinds[(index - index // STYLE_EVERY) % len(kinds)]


def erased_in(split: str, seed: int = 0) -> list[ObjectKind]:
    """The objects that a split erases, in an order of the seed: test the first 33 of seed 0, which 44 cases erase,
    development the others, training all."""
    trained = load_atlas().of_split("train")
    held_out = random.Random("order:0").sample(trained, len(trained))[:TESTED]
    order = random.Random(f"order:{seed}").sample(trained, len(trained))
    return [kind for kind in order if split == "train" or (kind in held_out) == (split == "test")]


def measure_object(parts: Parts, request: Request, rng: random.Random, seed: int, kind: ObjectKind) -> Row:
    """Erase one object."""
    near = nearest(parts.backbone, kind)[:NEIGHBOURS]
    rest = [other for other in load_atlas().of_split("train") if other not in (kind, *near)]
    others = [*near, *rng.sample(rest, OTHERS - NEIGHBOURS)]
    preserved = {other.name for other in others[::2]} | {other.name for other in rest[::2] if other not in others}
    after = parts.without(erasure_of(parts.backbone, request, kind.name, sorted(preserved)))
    targets = [(Phrase(kind.name), kind)] * TARGETS
    synonyms = [(Phrase(word), kind) for word in kind.synonyms for _ in range(TARGETS // len(kind.synonyms))]
    asked = targets + synonyms + [(Phrase(other.name), other) for other in others]
    turns = [*range(TARGETS), *range(len(synonyms)), *[seed % SEEDS] * len(others)]
    seeds = [noise_seed(request, phrase, turn) for (phrase, _), turn in zip(asked, turns, strict=True)]
    entries = both_ways(parts, after, asked, seeds)
    first = len(targets) + len(synonyms)
    return {
        "erased": kind.name,
        "targets": entries[: len(targets)],
        "synonyms": entries[len(targets) : first],
        "others": [
            entry | {"preserved": other.name in preserved, "neighbour": other in near}
            for other, entry in zip(others, entries[first:], strict=True)
        ],
    }


def measure_style(parts: Parts, request: Request, rng: random.Random, seed: int, turn: int) -> Row:
    """Erase one style: is it still seen in objects asked for in it, and are objects without a style still there?"""
    atlas = load_atlas()
    style = atlas.styles[turn % len(atlas.styles)]
    kinds = rng.sample(atlas.of_split("train"), TARGETS)
    preserved = sorted(kind.name for kind in atlas.of_split("train")[::2])
    after = parts.without(erasure_of(parts.backbone, request, f"{style} style", preserved))
    prompts = [f"{Phrase(kind.name)} in {style} style" for kind in kinds]
    entries = []
    readings = [parts.judge.look(draw(backbone, prompts, seed)) for backbone in (parts.backbone, after)]
    for row, kind in enumerate(kinds):
        said = [atlas.styles[int(r.style_of(parts.judge.index(kind.name))[row].argmax())] for r in readings]
        entries.append({"asked": kind.name, "before": said[0] == style, "after": said[1] == style})
    plain = [(Phrase(kind.name), kind) for kind in rng.sample(atlas.of_split("train"), BESIDE)]
    seeds = [noise_seed(request, phrase, seed) for phrase, _ in plain]
    others = [entry | {"preserved": entry["asked"] in preserved} for entry in both_ways(parts, after, plain, seeds)]
    return {"erased": style, "targets": entries, "synonyms": [], "others": others}


def both_ways(
    parts: Parts, after: Backbone, asked: Sequence[tuple[Phrase, ObjectKind]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """For every phrase whether its object is found in the picture before and after, drawn from the same noise."""
    prompts = [f"a photo of {phrase}" for phrase, _ in asked]
    was = parts.found_before(prompts, seeds)
    there = parts.judge.found(parts.judge.look(draw(after, prompts, seeds))) if prompts else []
    return [
        {"asked": phrase.word, "before": kind.name in earlier, "after": kind.name in later}
        for (phrase, kind), earlier, later in zip(asked, was, there, strict=True)
    ]


def noise_seed(request: Request, phrase: Phrase, turn: int) -> int:
    """The seed of a phrase's picture: one of a few, so that many erasures share the picture before."""
    return zlib.crc32(f"{request.seed}:{phrase}:{turn % SEEDS}".encode())


def erasure_of(backbone: Backbone, request: Request, concept: str, preserve: Sequence[str]) -> Erasure:
    """The erasure that is asked for; for the control, of a random vector instead of the concept."""
    eraser = METHODS[request.options.get("method", "uce")]
    settings = replace(eraser.preset(request.options.get("preset", "small")), **request.options.get("set", {}))
    anchor = request.options.get("anchor", "")
    if not request.options.get("random_vector"):
        return eraser.erase(backbone, [concept], anchor, preserve, settings)
    generator = torch.Generator().manual_seed(request.seed)
    noise = {
        encoder: torch.randn(1, width, generator=generator) * _spread(backbone, encoder)
        for encoder, width in backbone.text_widths.items()
    }
    return eraser.erase(backbone, ["<noise>"], anchor, preserve, settings, placeholders={"<noise>": noise})


def nearest(backbone: Backbone, kind: ObjectKind) -> list[ObjectKind]:
    """The other training objects, those whose names the text encoder reads most alike first."""
    others = [other for other in load_atlas().of_split("train") if other != kind]
    vectors = torch.stack([_vector(backbone, other.name) for other in (kind, *others)])
    alike = F.cosine_similarity(vectors[:1], vectors[1:])
    return [others[i] for i in alike.argsort(descending=True).tolist()]


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means over cases with intervals, how many pairs of pictures of others, and a table per erased object."""
    objects = [row for row in rows if row["what"] == "object"]
    styles = [row for row in rows if row["what"] == "style"]
    chosen = {
        "found": [(row["targets"], None) for row in objects],
        "synonym": [(row["synonyms"], None) for row in objects if row["synonyms"]],
        "others": [(row["others"], None) for row in objects],
        "preserved": [(row["others"], "preserved") for row in objects],
        "neighbours": [(row["others"], "neighbour") for row in objects],
        "style_found": [(row["targets"], None) for row in styles],
        "style_others": [(row["others"], None) for row in styles if row["others"]],
    }
    found: dict[str, Any] = {}
    for name, listed in chosen.items():
        for when in ("before", "after"):
            values = [_share(entries, when, flag) for entries, flag in listed]
            key = f"found_{when}_synonym" if name == "synonym" else f"{name}_{when}"
            found[key] = interval(values, request.seed) if values else None
    free = [_share([e for e in row["others"] if not e["preserved"]], "after") for row in objects]
    found["free_after"] = interval(free, request.seed) if free else None
    pairs = sum(len(row["others"]) for row in objects)
    return {name: found[name] for name in FIGURES} | {"pairs_of_others": pairs, "per_concept": per_concept(objects)}


def per_concept(rows: Sequence[Row]) -> dict[str, Any]:
    """Erased object to its found share before and after, and its neighbours'."""
    found: dict[str, Any] = {}
    for row in rows:
        near = {e["asked"]: [e["before"], e["after"]] for e in row["others"] if e["neighbour"]}
        shares = [round(_share(row["targets"], when), 4) for when in ("before", "after")]
        found[row["erased"]] = {"found": shares, "neighbours": near}
    return found


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    rows = [
        [said, with_interval(summary[name]), "" if aim is None else f"<= {aim:g}"]
        for name, (said, aim) in FIGURES.items()
    ]
    head = (
        f"bench erase: {result['cases']} erasures, seed {result['seed']}, "
        f"{summary['pairs_of_others']} same-seed pairs of other objects; 95% intervals"
    )
    concepts = [["erased", "before", "after", "nearest names (kept of those found before)"]]
    for name, entry in summary["per_concept"].items():
        near = [f"{other} {'kept' if now else 'lost'}" for other, (was, now) in entry["neighbours"].items() if was]
        concepts.append([name, *(f"{share:.2f}" for share in entry["found"]), ", ".join(near) or "-"])
    return f"{head}\n{aligned([['', 'found', 'aim'], *rows])}\n\n{aligned(concepts)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench erase``; 44 cases hold 1056 pairs of other objects."""
    add_common_arguments(parser, cases=44)
    presets = ", ".join(f"{name}: {' '.join(eraser.presets)}" for name, eraser in METHODS.items())
    parser.add_argument("--method", choices=METHODS, default="uce", help="default: %(default)s")
    parser.add_argument("--preset", default="small", help=f"of the method ({presets}); default: %(default)s")
    add_settings_argument(parser)
    parser.add_argument("--anchor", default="", help="what to draw instead (default: the empty prompt)")
    parser.add_argument(
        "--random-vector", action="store_true", help="erase a random vector: the control, all must stay"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command and print its tables; returns the exit status."""
    chosen = chosen_settings(args, METHODS[args.method].preset(args.preset))  # refused before anything is loaded
    options = {"preset": args.preset, "anchor": args.anchor} | ({"random_vector": True} if args.random_vector else {})
    options |= {"method": args.method} if args.method != "uce" else {}  # as rows on disk have it
    options |= {"set": chosen} if chosen else {}
    return run_command(BENCH, args, options, CONTROLS)


def _share(entries: Sequence[Mapping[str, Any]], when: str, flag: str | None = None) -> float:
    chosen = [entry[when] for entry in entries if flag is None or entry[flag]]
    return sum(chosen) / len(chosen)


def _vector(backbone: Backbone, name: str) -> Tensor:
    """The encoded name at its last token."""
    text = f"a {name}"
    position = backbone.tokenize(text).tokens[-1].position
    return backbone.encode_text([text]).context[0, position]


def _spread(backbone: Backbone, encoder: str) -> Tensor:
    """Standard deviation of the token table's rows for some words, so that a random vector is of their size."""
    rows = [backbone.word_vectors(kind.name)[encoder] for kind in load_atlas().of_split("train")]
    return torch.cat(rows).std()


def _found_before(summary: Mapping[str, Any]) -> float:
    return float(summary["found_before"]["mean"])


def _loss(summary: Mapping[str, Any]) -> float:
    return float(summary["found_before"]["mean"] - summary["found_after"]["mean"])


CONTROLS = (
    Control("random_vector", "objects lost when a random vector is erased", _loss, 0.15, {"random_vector": True}),
    Control("untrained", "objects found before, a model at random weights", _found_before, 0.1, untrained=True),
)
BENCH = Bench("erase", 2, prepare, measure, figures, table, means)
