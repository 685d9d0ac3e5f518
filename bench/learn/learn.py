"""``bench learn``: does a learnt token redraw the object it was learnt from?

Each case is a scene of 1 to 4 objects; every second scene holds objects that the model has never seen. Concepts come
with their true masks, so that learning is measured alone (``--found`` takes those that Localize Concepts finds).
``--maps`` also scores the heat map of each token in the scene against its object's mask.
Scores follow the evaluation of ConceptExpress (Hao et al. 2024, section 4.1), with the judge in place of CLIP.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...core.assignment import best_assignment
from ...core.backbone import Backbone
from ...core.learn.parts.class_words import sentence
from ...core.learn.registry import METHODS, written
from ...core.localize.given_masks import localize_masks
from ...core.localize.parts.pipeline import localize
from ...core.localize.parts.settings import SMALL_GRID
from ...core.masks.upsample import smooth_masks
from ...core.types import Concepts, ConceptTokens
from ...host.jobs.blocks import preset_changes, read_by
from ...lab.judge.judge import Judge, load_judge
from ...lab.judge.network import CELL
from ...lab.world.atlas import load_atlas
from ...lab.world.scene import SceneSettings, sample_scene
from ..cases import SEEDS_PER_RUN, Case, case_of
from ..command import add_common_arguments, add_settings_argument, backbone_for, chosen_settings, run_command
from ..controls import Control
from ..drawing import draw
from ..harness import Bench, Request, Row
from ..metrics import iou_matrix
from ..summary import aligned, interval, means, with_interval
from .token_maps import MAP_SCORES, map_scores

COUNTS, DRAWS, TEMPLATE = (1, 2, 3, 4), 8, "a photo of {}"
SCORES = {
    "sim_i": "SIM^I: alike the object, of 1",
    "sim_c": "SIM^C: joint picture alike the scene, of 1",
    "acc1": "ACC^1: named right among the split's objects",
    "acc3": "ACC^3: among the best three",
    "passes": "model passes of one sample, per scene",
    "seconds": "seconds per scene",
}


@dataclass(frozen=True, eq=False)
class Learnt:
    """One case done: which true object each token stands for, and what it cost."""

    tokens: ConceptTokens
    objects: tuple[int, ...]
    passes: int
    seconds: float


def prepare(request: Request) -> tuple[Backbone, Judge]:
    """The model and the judge."""
    return backbone_for(request), load_judge()


def measure(prepared: tuple[Backbone, Judge], request: Request, index: int) -> Row:
    """One scene learnt and redrawn: the scores of each object; one that no concept stands for scores 0."""
    backbone, judge = prepared
    own_seed = request.seed * SEEDS_PER_RUN + index
    unseen = request.split != "train" and index % 2 == 1
    counts = request.options.get("objects", COUNTS)
    count = counts[index // 2 % len(counts)]
    scene = sample_scene(request.split, own_seed, SceneSettings(counts=(count,), tinted=0.0, unseen=unseen))
    case = case_of(scene, own_seed)
    learnt = learn_case(backbone, case, request)
    answers = [judge_token(backbone, judge, case, learnt, number, unseen, request) for number in range(count)]
    if request.options.get("maps"):
        fits = map_scores(backbone, case, learnt.tokens, learnt.objects, TEMPLATE)
        answers = [answer | fit for answer, fit in zip(answers, fits, strict=True)]
    joint = judge_joint(backbone, judge, case, learnt)
    cost = {"passes": learnt.passes, "seconds": learnt.seconds}
    return {"seed": own_seed, "unseen": unseen, "objects": answers, "sim_c": joint} | cost


def learn_case(backbone: Backbone, case: Case, request: Request) -> Learnt:
    """Concepts of a scene, and a token for each."""
    options = request.options
    method = METHODS[options.get("method", "conceptexpress")]
    settings = replace(method.preset(options.get("preset", "small")), **options.get("settings", {}))
    if options.get("untrained_tokens"):
        settings = replace(settings, steps=1, rate=1e-12, start="rare")
    started = time.monotonic()
    concepts, objects = (found_concepts if options.get("found") else true_concepts)(backbone, case)
    if options.get("shuffled_masks"):
        concepts = shuffled(backbone, case)
    if not objects:
        return Learnt(ConceptTokens({}, backbone.family), (), 0, time.monotonic() - started)
    classes = {name: case.names[number] for name, number in zip(concepts.names, objects, strict=True)}
    given = {key: classes for key in ("words", "classes") if options.get(key)}
    tokens = method.learn(backbone, case.picture, concepts, settings, seed=case.seed, **given)
    return Learnt(tokens, objects, int(tokens.metadata["passes"]), time.monotonic() - started)


def true_concepts(backbone: Backbone, case: Case) -> tuple[Concepts, tuple[int, ...]]:
    """The scene's own masks as concepts named 1, 2, 3, and the numbers of their objects."""
    names = [str(number) for number in range(1, len(case.names) + 1)]
    settings = read_by(backbone, SMALL_GRID)
    concepts = localize_masks(backbone, case.picture, case.masks.float(), settings, case.seed, names, "attention")
    return concepts, tuple(range(len(names)))


def shuffled(backbone: Backbone, case: Case) -> Concepts:
    """The true concepts with the mask of the next object each. Raises ``ValueError`` for a scene of one object."""
    if len(case.masks) < 2:
        raise ValueError("--shuffled-masks needs scenes of two objects or more: add --objects 2 3 4")
    return true_concepts(backbone, replace(case, masks=case.masks.roll(1, 0)))[0]


def found_concepts(backbone: Backbone, case: Case) -> tuple[Concepts, tuple[int, ...]]:
    """The concepts found that overlap an object by half, and the numbers of these objects."""
    settings = read_by(backbone, replace(SMALL_GRID, **preset_changes(backbone, "conceptexpress", "small")))
    concepts = localize(backbone, case.picture, settings, case.seed)
    ious = iou_matrix(smooth_masks(concepts.masks, concepts.picture_size), case.masks)
    pairs = [(found, true) for found, true in best_assignment(ious) if ious[found, true] >= 0.5]
    return concepts.pick([found for found, _ in pairs]), tuple(true for _, true in pairs)


def judge_token(
    backbone: Backbone, judge: Judge, case: Case, learnt: Learnt, number: int, unseen: bool, request: Request
) -> dict[str, Any]:
    """The scores of the true object with this number: its token alone, drawn eight times."""
    entry: dict[str, Any] = {"name": case.names[number]}
    if number not in learnt.objects:
        return entry | {"sim_i": 0.0, "acc1": False, "acc3": False, "named": None}
    name = learnt.tokens.names[learnt.objects.index(number)]
    pictures = draw_with(backbone, learnt.tokens, [name], case.seed)
    reading = judge.look(pictures)
    source = judge.look(case.picture).describe(on_cells(case.masks[number : number + 1]))
    alike = (reading.describe() @ source.T).mean()
    allowed = [judge.index(kind.name) for kind in load_atlas().of_split(request.split if unseen else "train")]
    scores = reading.presence().mean(0)[allowed]
    ranked = [judge.names[allowed[i]] for i in scores.argsort(descending=True).tolist()]
    place = ranked.index(case.names[number])
    return entry | {"sim_i": float(alike), "acc1": place < 1, "acc3": place < 3, "named": ranked[0]}


def judge_joint(backbone: Backbone, judge: Judge, case: Case, learnt: Learnt) -> float:
    """How alike the scene and pictures of all its tokens together are; 0 without any."""
    if not learnt.objects:
        return 0.0
    pictures = draw_with(backbone, learnt.tokens, learnt.tokens.names, case.seed)
    return float((judge.look(pictures).describe() @ judge.look(case.picture).describe().T).mean())


def draw_with(backbone: Backbone, tokens: ConceptTokens, names: Sequence[str], seed: int) -> Tensor:
    """Eight pictures of these concepts together, the change of the model that belongs to the tokens in force."""
    prompt = sentence([written(tokens, name) for name in names], TEMPLATE)
    with backbone.adapted(tokens.adapter):
        return draw(backbone, [prompt] * DRAWS, seed, tokens.placeholders())


def on_cells(masks: Tensor) -> Tensor:
    """Masks (B, H, W) bool as shares of the judge's cells, (B, h, w); sides are filled up as the judge does."""
    down, right = (-side % (2 * CELL) for side in masks.shape[-2:])
    padded = torch.nn.functional.pad(masks.float(), (0, right, 0, down))
    return torch.nn.functional.avg_pool2d(padded, CELL)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over scenes, for seen and unseen objects apart."""
    groups = {"seen": [row for row in rows if not row["unseen"]], "unseen": [row for row in rows if row["unseen"]]}
    scores = (*SCORES, *(MAP_SCORES if request.options.get("maps") else ()))
    return {
        name: {"cases": len(group)}
        | {score: interval([_score(row, score) for row in group], request.seed) for score in scores}
        for name, group in groups.items()
        if group
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    measured = {key: said for key, said in (SCORES | MAP_SCORES).items() if all(key in one for one in summary.values())}
    rows = [[said, *(with_interval(group[score]) for group in summary.values())] for score, said in measured.items()]
    head = f"bench learn: {result['cases']} scenes, {result['split']} split, seed {result['seed']}; 95% intervals"
    heading = ["", *(f"{name} ({group['cases']} scenes)" for name, group in summary.items())]
    return f"{head}\n{aligned([heading, *rows])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench learn``; multiples of 8 are balanced over counts, seen and unseen objects."""
    add_common_arguments(parser, cases=24)
    presets = ", ".join(f"{name}: {' '.join(method.presets)}" for name, method in METHODS.items())
    parser.add_argument("--method", choices=METHODS, default="conceptexpress", help="default: %(default)s")
    parser.add_argument("--preset", default="small", help=f"of the method ({presets}); default: %(default)s")
    parser.add_argument("--objects", type=int, nargs="+", help="how many a scene has, in turn; default: 1 2 3 4")
    parser.add_argument("--steps", type=int, help="training steps; the default is the preset's")
    add_settings_argument(parser)
    parser.add_argument("--words", action="store_true", help="start from the objects' true names, which helps a lot")
    parser.add_argument("--classes", action="store_true", help="give the true names as class words")
    parser.add_argument("--found", action="store_true", help="concepts as found in the scene instead of the true masks")
    parser.add_argument("--maps", action="store_true", help="also: do the tokens' heat maps fit their objects?")
    parser.add_argument("--shuffled-masks", action="store_true", help="the control: every object has another's mask")
    parser.add_argument(
        "--untrained-tokens", action="store_true", help="the control: rows of little-used tokens, untrained"
    )


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """What decides the rows beside seed and split; ``values`` holds every setting, since presets change."""
    preset = METHODS[args.method].preset(args.preset)
    settings = chosen_settings(args, preset) | ({"steps": args.steps} if args.steps else {})
    options: dict[str, Any] = {"method": args.method, "preset": args.preset}
    options |= {"settings": settings} if settings else {}
    options |= {"objects": args.objects} if args.objects else {}
    flags = ("found", "words", "classes", "maps", "shuffled_masks", "untrained_tokens")
    options |= {flag: True for flag in flags if getattr(args, flag)}
    return options | {"values": asdict(replace(preset, **settings))}


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    return run_command(BENCH, args, options_of(args), CONTROLS)


def _score(row: Row, score: str) -> float:
    """A score of one scene: its own, or the mean over its objects."""
    if score in row:
        return float(row[score])
    return sum(float(entry[score]) for entry in row["objects"]) / len(row["objects"])


def _seen_acc1(summary: Mapping[str, Any]) -> float:
    return float(summary["seen"]["acc1"]["mean"])


CONTROLS = (
    Control("untrained", "ACC^1 of seen objects, a model at random weights", _seen_acc1, 0.15, untrained=True),
    Control(
        "untrained_tokens",
        "the same, rows of little-used tokens, untrained",
        _seen_acc1,
        0.15,
        {"untrained_tokens": True},
    ),
    # The ground around a single object has its outline, from which it can be learnt: scenes of two and more.
    Control(
        "shuffled_masks",
        "the same, masks of other objects, scenes of two to four",
        _seen_acc1,
        0.2,
        {"shuffled_masks": True, "objects": [2, 3, 4]},
    ),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Seen and unseen objects' means."""
    return {name: means(group) for name, group in summary.items()}


BENCH = Bench("learn", 2, prepare, measure, figures, table, headline)
