"""``bench data``: does Caption Noise find exchanged captions, and leave a clean set alone?

Each case is a training set of scenes with their captions, of which a fifth is exchanged among one another. The lab's
picture encoder and the text encoder that it was trained with compare them. Nothing is learnt or drawn.

With ``--folders`` a case is a folder whose captions all name one thing, which a fifth of its pictures does not show; in
the clean one all do. ``--against captions`` compares with the other captions of the set, in place of sentences of all
kinds.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.data.caption_noise import CHECK, CaptionNoise, caption_noise, parts_of
from ...core.prompts.sentences import REFERENCE
from ...host.jobs.paired_texts import word_features
from ...host.jobs.vision import picture_features
from ...lab.model.image_tower import ImageTower
from ...lab.model.vision import LabVision, load_vision
from ...lab.world.scene import SceneSettings, sample_scene
from ..cases import SEEDS_PER_RUN, case_of
from ..command import add_common_arguments, load_parts, run_command
from ..controls import Control
from ..drawing import SIDE
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, means, with_interval
from . import folders

PICTURES, WRONG = 200, 0.2
AGAINST = ("sentences", "captions")
"""What the usual fit of a picture is taken from: sentences of all kinds, or the other captions of the set."""
SCORES = {
    "auroc": "AUROC of the fit",
    "evident": "noise is found",
    "recall": "wrong ones flagged",
    "precision": "flagged ones wrong",
    "right_caption": "wrong ones whose own caption is nearest",
    "clean_alarm": "noise is found in the clean set",
}


@dataclass(frozen=True, eq=False)
class Encoders:
    """A picture encoder and the text encoder that it was trained with."""

    vision: LabVision
    clip: Any


def prepare(request: Request) -> Encoders:
    """The encoders of the lab, or a picture encoder at random weights."""
    clip = load_parts(Path(request.model) if request.model else None)[1]
    vision = load_vision()
    if request.untrained:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            vision = LabVision(ImageTower().eval(), vision.text_projection)
    return Encoders(vision, clip)


def measure(encoders: Encoders, request: Request, index: int) -> Row:
    """One training set, with a fifth of its captions exchanged and as it is."""
    own_seed = request.seed * SEEDS_PER_RUN + index
    against = request.options.get("against", AGAINST[0])
    if request.options.get("folders"):
        spoiled, right = folders.folder(request.split, own_seed), folders.folder(request.split, own_seed, wrong=0)
        found, clean = (_noise_in(encoders, given, against) for given in (spoiled, right))
        return _row(own_seed, found, torch.tensor(spoiled.wrong), clean)
    pictures, captions = training_set(request.split, own_seed)
    seen = picture_features(encoders.vision, pictures)
    spoiled, wrong = exchanged(captions, own_seed)
    found, clean = (noise_of(encoders, seen, texts, against) for texts in (spoiled, captions))
    right = [captions[number] == spoiled[int(found.nearest[number])] for number in wrong.nonzero()[:, 0].tolist()]
    return _row(own_seed, found, wrong, clean) | {"right_caption": sum(right) / len(right)}


def _noise_in(encoders: Encoders, given: folders.Folder, against: str) -> CaptionNoise:
    pictures = torch.cat([case.picture for case in given.cases])
    return noise_of(encoders, picture_features(encoders.vision, pictures), given.captions, against)


def _row(seed: int, found: CaptionNoise, wrong: Tensor, clean: CaptionNoise) -> Row:
    """What was found of which (n,) captions are wrong, and in the set without them."""
    flagged = found.noise >= CHECK
    hits = int((flagged & wrong).sum())
    return {
        "seed": seed,
        "auroc": auroc(-found.fit, wrong),
        "evident": float(found.evident),
        "recall": hits / int(wrong.sum()),
        "precision": hits / int(flagged.sum()) if bool(flagged.any()) else 0.0,
        "clean_alarm": float(clean.evident),
    }


def training_set(split: str, seed: int) -> tuple[Tensor, list[str]]:
    """Pictures (n, 3, H, W) of one or two things, and their captions."""
    settings = SceneSettings(size=(SIDE, SIDE), counts=(1, 2))
    scenes = [sample_scene(split, seed * PICTURES + number, settings) for number in range(PICTURES)]
    pictures = torch.cat([case_of(scene, seed).picture for scene in scenes])
    return pictures, [scene.caption for scene in scenes]


def exchanged(captions: Sequence[str], seed: int) -> tuple[list[str], Tensor]:
    """Captions of which a fifth changed places in a ring, and (n,) bool which are wrong now."""
    chosen = random.Random(f"data:{seed}").sample(range(len(captions)), round(WRONG * len(captions)))
    moved = list(captions)
    for number, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        moved[number] = captions[other]
    return moved, torch.tensor([after != before for after, before in zip(moved, captions, strict=True)])


def auroc(scores: Tensor, positive: Tensor) -> float:
    """How often a positive has the higher score; equal ones count half."""
    first, second = scores[positive][:, None], scores[~positive][None]
    return float(((first > second).double() + 0.5 * (first == second).double()).mean())


def noise_of(encoders: Encoders, seen: Tensor, captions: Sequence[str], against: str = "sentences") -> CaptionNoise:
    """How well captions fit pictures with the features (n, D), beside one of :data:`AGAINST`."""
    texts, owners = parts_of(captions)
    read = [*texts, *REFERENCE]
    captioned, others = word_features(encoders.vision, encoders.clip, read, seen.shape[1], template="{}").split(
        [len(texts), len(REFERENCE)]
    )
    return caption_noise(seen, captioned, owners, captions, others if against == "sentences" else None)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over training sets."""
    held = {score: interval([row[score] for row in rows], request.seed) for score in SCORES if score in rows[0]}
    return {"captions": {"cases": len(rows)} | held}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    found = result["summary"]["captions"]
    rows = [[said, with_interval(found[score])] for score, said in SCORES.items() if score in found]
    sets = f"sets of {PICTURES} pictures, {WRONG:.0%} of the captions exchanged"
    if result["options"].get("folders"):
        sets = f"folders of {folders.PICTURES} pictures, {folders.WRONG} captions wrong"
    head = f"bench data: {result['cases']} {sets}"
    return f"{head}, {result['split']} split, seed {result['seed']}; 95% intervals\n{aligned(rows)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench data``."""
    add_common_arguments(parser, cases=8)
    parser.add_argument("--folders", action="store_true", help="folders whose captions all name one thing")
    parser.add_argument("--against", choices=AGAINST, default=AGAINST[0], help="default: %(default)s")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    options = ({"folders": True} if args.folders else {}) | (
        {"against": args.against} if args.against != AGAINST[0] else {}
    )
    return run_command(BENCH, args, options, CONTROLS)


def _auroc(summary: Mapping[str, Any]) -> float:
    return float(summary["captions"]["auroc"]["mean"])


CONTROLS = (Control("untrained", "AUROC of an encoder at random weights", _auroc, 0.6, untrained=True),)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: means(group) for name, group in summary.items()}


BENCH = Bench("data", 1, prepare, measure, figures, table, headline)
