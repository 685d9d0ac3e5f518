"""Words inside a model: concept vectors, audits of erasures, and probes."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...core.backbone import Backbone
from ...core.erase.registry import METHODS
from ...core.surgery.begun import ScoutSettings
from ...core.surgery.probing.reading import PRESETS, probe_denoiser, probe_text
from ...core.surgery.traces.audit import Depth, audit
from ...core.surgery.traces.vectors import TraceSettings, edited, find_vectors
from ...core.types import Erasure
from ...host.adapters import backbone_of, with_erasure, with_text_erasure
from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.captions import Phrase, write_caption
from ...lab.world.scene import TINTS
from ..erase.concepts import erased_in
from ..erase.parts import Parts, nearest
from ..harness import Request, Row
from ..summary import Table, interval, with_interval
from .judging import drawn
from .tunes import Tune, train

SEEDS = 4
NEIGHBOURS = 8
"""Words that a concept is compared with; pictures of the first half are drawn."""
VECTORS = TraceSettings(count=32)
AMOUNTS = {"zero": 0.0, "turned": -2.0}
DRAWING = ScoutSettings(draws=2, steps=6, guidance=4.0, side=128)
EXPECTED: Mapping[str, Depth] = {
    "original": "none",
    "uce": "keys and values",
    "hirm": "text encoder",
    "relearnt": "undone",
}
"""Model to what the audit must say of it."""
PROBED = ("name", "colour", "style", "animal")
PROMPTS = 16


def measure_vectors(parts: Parts, request: Request, index: int) -> Row:
    """One word: its vectors at zero and turned around, and what is drawn then."""
    kind = erased_in(request.split, request.seed)[index]
    near = nearest(parts.backbone, kind)[:NEIGHBOURS]
    found = find_vectors(parts.backbone, kind.name, [other.name for other in near], VECTORS)
    row: Row = {"word": kind.name, "left": found.left[0], "spared": sum(found.left[1:]) / len(near)}
    row["selective"] = sum(one.selective for one in found.vectors) / len(found.vectors)
    row["before"] = shown(parts, parts.backbone, kind, near)
    for name, amount in AMOUNTS.items():
        change = edited(parts.backbone, found.vectors, "scale", amount, torch.Generator())
        clip = with_text_erasure(parts.clip, Erasure({}, 1.0, parts.backbone.family, text=change))
        row[name] = shown(parts, backbone_of(parts.model, clip, parts.vae), kind, near)
    return row


def shown(parts: Parts, backbone: Backbone, kind: ObjectKind, near: Sequence[ObjectKind]) -> dict[str, float]:
    """Shares of pictures that show a word, and its nearest neighbours."""
    asked = [kind] * SEEDS + list(near[: NEIGHBOURS // 2])
    found = parts.judge.found(parts.judge.look(drawn(backbone, asked, 0)))
    right = [float(one.name in names) for one, names in zip(asked, found, strict=True)]
    return {"word": sum(right[:SEEDS]) / SEEDS, "neighbours": sum(right[SEEDS:]) / (len(right) - SEEDS)}


def measure_audit(parts: Parts, request: Request, index: int) -> Row:
    """One word, in the model as it is, erased twice, and relearnt after the first erasure."""
    kind = erased_in(request.split, request.seed)[index]
    near = nearest(parts.backbone, kind)[:NEIGHBOURS]
    others = [other.name for other in near]
    vectors = find_vectors(parts.backbone, kind.name, others, TraceSettings(count=16, rounds=2)).vectors
    row: Row = {"word": kind.name}
    for name, model in _models(parts, kind, others).items():
        found = audit(parts.backbone, model, kind.name, others, vectors=vectors, drawing=DRAWING)
        row[name] = {
            "stored": found.traces,
            "said": found.text,
            "read": found.ways[0].after,
            "predicted": found.predicted,
            "kept": found.kept,
            "depth": found.depth,
            "drawn": shown(parts, model, kind, near)["word"],
        }
    return row


def _models(parts: Parts, kind: ObjectKind, others: Sequence[str]) -> dict[str, Backbone]:
    erasures = {
        name: METHODS[name].erase(parts.backbone, [kind.name], "", others, METHODS[name].preset("small"))
        for name in ("uce", "hirm")
    }
    found = {"original": parts.backbone} | {name: parts.without(one) for name, one in erasures.items()}
    scenes = [scene for scene in Tune("relearn", kind).scenes() if kind.name in scene[1]][:4]
    anew = train(found["uce"], scenes, 8, "cross", 80, 4e-3)
    model = with_erasure(with_erasure(parts.model, erasures["uce"]), Erasure(anew, 1.0, parts.backbone.family))
    return found | {"relearnt": backbone_of(model, parts.clip, parts.vae)}


def measure_probes(parts: Parts, request: Request, index: int) -> Row:
    """One concept: the layers, blocks and noise levels that tell it."""
    what = PROBED[index % len(PROBED)]
    own, others = prompts_of(what, random.Random(f"probe:{request.split}:{request.seed}:{index}"))
    present = torch.tensor([True] * len(own) + [False] * len(others))
    how = PRESETS["small"]
    text = probe_text(parts.backbone, [*own, *others], present, how, request.seed)
    denoiser = probe_denoiser(parts.backbone, [*own, *others], present, how, request.seed)
    curve = next(iter(text.curves.values()))
    place = denoiser.curve.onset
    return {
        "what": what,
        "words": text.words,
        "layers": [round(float(value), 4) for value in curve.auroc],
        "text_null": curve.null,
        "text_onset": curve.onset,
        "text_converged": curve.converged,
        "noise": [round(level, 4) for level in denoiser.noise],
        "levels": [round(float(value), 4) for value in denoiser.grid.amax(1)],
        "blocks": dict(zip(denoiser.blocks, [round(float(one), 4) for one in denoiser.grid.amax(0)], strict=True)),
        "null": denoiser.curve.null,
        "onset": None if place is None else denoiser.curve.places[place],
        "best": denoiser.curve.places[denoiser.curve.best],
    }


def prompts_of(what: str, rng: random.Random) -> tuple[list[str], list[str]]:
    """Captions with a concept and without: an object's name, a colour, a style, or animals by names that differ."""
    kinds = load_atlas().of_split("train")
    animals, things = kinds[:16], kinds[16:]  # the world lists its animals first
    if what == "animal":
        chosen = [[Phrase(kind.name) for kind in rng.sample(of, PROMPTS)] for of in (animals, things)]
        return [write_caption(rng, [one]) for one in chosen[0]], [write_caption(rng, [one]) for one in chosen[1]]
    asked: list[list[str]] = []
    for own in (True, False):
        texts = []
        for kind in rng.sample(kinds, PROMPTS):
            name = "cat" if what == "name" and own else kind.name if kind.name != "cat" else "dog"
            tints, styles = list(TINTS), list(load_atlas().styles)
            colour = "red" if own else rng.choice([tint for tint in tints if tint != "red"])
            style = "neon" if own else rng.choice([one for one in styles if one != "neon"])
            phrase = Phrase(name, colour=colour if what == "colour" else rng.choice([None, *tints]))
            texts.append(write_caption(rng, [phrase], style=style if what == "style" else None))
        asked.append(texts)
    return asked[0], asked[1]


def vector_figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over words."""
    found = {name: interval([row[name] for row in rows], request.seed) for name in ("left", "spared", "selective")}
    for state in ("before", *AMOUNTS):
        for what in ("word", "neighbours"):
            found[f"{state}_{what}"] = interval([row[state][what] for row in rows], request.seed)
    return found


def vector_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures as tables, each a list of rows."""
    said = {
        "left": "presence of the word in the text, vectors at 0",
        "spared": "presence of its neighbours",
        "selective": "vectors that belong to the word alone",
    }
    rows = [["figure", "found"], *([words, with_interval(summary[name])] for name, words in said.items())]
    rows += [
        [f"{state}: pictures that show the {what}", with_interval(summary[f"{state}_{what}"])]
        for state in ("before", *AMOUNTS)
        for what in ("word", "neighbours")
    ]
    return [rows]


def audit_figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Of every model how often the audit says what it is, and the means of its figures."""
    found: dict[str, Any] = {}
    for name, depth in EXPECTED.items():
        of = [row[name] for row in rows]
        found[name] = {"right": interval([float(one["depth"] == depth) for one in of], request.seed)}
        for figure in ("stored", "said", "read", "predicted", "kept", "drawn"):
            found[name][figure] = round(sum(one[figure] for one in of) / len(of), 4)
    return found


def audit_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures as tables, each a list of rows."""
    figures = ("stored", "said", "read", "predicted", "kept", "drawn")
    rows = [["model", "right verdict", *figures]]
    rows += [[name, with_interval(of["right"]), *(f"{of[one]:.2f}" for one in figures)] for name, of in summary.items()]
    return [rows]


def probe_figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """What was found of each concept."""
    return {row["what"]: {name: value for name, value in row.items() if name != "what"} for row in rows}


def probe_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures as tables, each a list of rows."""
    rows = [["concept", "bag of tokens", "layers of text", "onset", "by noise", "denoiser's onset"]]
    for name, one in summary.items():
        layers, levels = (" ".join(f"{value:.2f}" for value in one[key]) for key in ("layers", "levels"))
        rows.append([name, f"{one['words']:.2f}", layers, str(one["text_onset"]), levels, str(one["onset"])])
    return [rows]
