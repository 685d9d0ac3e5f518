"""What a case of ``bench attack`` attacks: an object, the model from which it was erased, a guard, and a detector.

In place of a method, :data:`NOTHING` leaves the model as it is. :data:`UNKNOWN` does so too, and takes an object that
the model never saw, with pictures of the lab's world. How soon the model learns such an object is what the re-learning
curves of erased objects are compared with.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...core.attack.parts.settings import PRESETS, AttackSettings
from ...core.attack.parts.task import AttackTask
from ...core.backbone import Backbone
from ...core.erase.guards.guard import Guarding, GuardTask
from ...core.erase.guards.registry import METHODS as GUARDS
from ...core.erase.registry import METHODS
from ...core.types import Erasure
from ...host.adapters import backbone_of, with_erasure, with_text_erasure
from ...host.shared.guards import guarded_concepts
from ...lab.judge.judge import Judge
from ...lab.world.atlas import ObjectKind, load_atlas
from ..cases import composed_case
from ..harness import Request
from .concepts import erased_in
from .parts import Parts, default_preset, erasure_of, prepare

OTHERS = 4
NOTHING = "none"
"""In place of a method: the model as it is, to attack a guard alone."""
NARROWER = {
    "airplane": ("jet",),
    "dog": ("puppy",),
    "fox": ("vixen",),
    "house": ("bungalow",),
    "rabbit": ("bunny",),
    "robot": ("android",),
    "tree": ("pine",),
    "turtle": ("tortoise",),
}
"""Erased objects to the word that WordNet 3.1 has below them, of the world's synonyms. The lab's text encoder has seen
no word for anything above its objects, such as "animal"."""
UNKNOWN = "unknown"
"""In place of a method: the model as it is, and an object that it never saw."""


@dataclass(frozen=True)
class JudgeOf:
    """A detector: the judge, asked for one object."""

    judge: Judge
    name: str

    def found(self, pictures: Tensor) -> Tensor:
        return torch.tensor([self.name in names for names in self.judge.found(self.judge.look(pictures))])


@dataclass(frozen=True, eq=False)
class AttackParts(Parts):
    """What every case needs, and what was drawn of the object that the last case attacked."""

    tasks: dict[str, AttackTask] = field(default_factory=dict)

    def task(self, request: Request, kind: ObjectKind) -> AttackTask:
        """The attack on an object, before any erasure; another object's is forgotten."""
        if kind.name not in self.tasks:
            self.tasks.clear()
            self.tasks[kind.name] = task_of(self, request, kind)
        return self.tasks[kind.name]


def prepare_attack(request: Request) -> AttackParts:
    """The model and the judge."""
    parts = prepare(request)
    return AttackParts(parts.model, parts.clip, parts.vae, parts.judge)


def kind_of(request: Request, index: int) -> ObjectKind:
    """The object of a case: methods take turns on one, then on the next. If narrower terms alone are asked for, objects
    without any are passed over."""
    methods = request.options["methods"]
    unknown = methods[index % len(methods)] == UNKNOWN
    kinds = load_atlas().of_split(request.split) if unknown else erased_in(request.split, request.seed)
    if request.options["scenarios"] == ["relatives"]:
        kinds = [kind for kind in kinds if kind.name in NARROWER]
    return kinds[index // len(methods) % len(kinds)]


def task_of(parts: Parts, request: Request, kind: ObjectKind) -> AttackTask:
    """An attack on an object, which a few others of the world are compared with."""
    rng = random.Random(f"attack:{request.seed}:{kind.name}")
    others = rng.sample([other.name for other in load_atlas().of_split("train") if other != kind], OTHERS)
    return AttackTask(
        parts.backbone,
        parts.backbone,
        kind.name,
        tuple(others),
        JudgeOf(parts.judge, kind.name),
        settings_of(request),
        synonyms=kind.synonyms,
        relatives=NARROWER.get(kind.name, ()),
        seed=request.seed,
    )


def settings_of(request: Request) -> AttackSettings:
    """The settings that the request asks for."""
    return replace(PRESETS["small"], **request.options.get("set", {}))


def task_without(parts: AttackParts, request: Request, method: str, kind: ObjectKind) -> AttackTask:
    """The attack on an object that a method erased."""
    task = parts.task(request, kind)
    if method == UNKNOWN:
        return replace(task, pictures=pictures_of(kind, task.settings, request.seed))
    if method == NOTHING:
        another = backbone_of(parts.model, parts.clip, parts.vae)  # a guard acts on all but the original itself
        return replace(task, erased=another)
    erasure = erase(parts, request, method, kind)
    task = replace(task, erased=parts.without(erasure))
    return replace(task, erase_more=lambda words: erased_further(parts, request, erasure, words))


def pictures_of(kind: ObjectKind, settings: AttackSettings, seed: int) -> Tensor:
    """Pictures (P, 3, H, W) in 0..1 of the world that show an object alone, as many as an attack reads."""
    rng, size = random.Random(f"unknown:{seed}:{kind.name}"), (settings.side, settings.side)
    return torch.cat([composed_case(rng, [kind], ["flat"], seed, size).picture for _ in range(settings.shown)])


def guard_of(parts: Parts, request: Request, concept: str) -> Guarding | None:
    """What guards the runs of any model but the original against an object, if that is asked for."""
    name = request.options.get("guard")
    if not name:
        return None
    guard = GUARDS[name]
    concepts = guarded_concepts(parts.backbone, [concept], "", {}, 1.0)
    return lambda drawn: guard.begin(
        GuardTask(drawn, parts.backbone, concepts, guard.preset("small"), seed=request.seed)
    )


def erase(parts: Parts, request: Request, method: str, kind: ObjectKind) -> Erasure:
    """The erasure of an object beside half of the others, as ``bench erase`` makes it."""
    preserved = sorted(other.name for other in load_atlas().of_split("train") if other != kind)[::2]
    options = {**request.options, "method": method, "set": {}}
    return erasure_of(parts.backbone, replace(request, options=options), [kind.name], preserved)


def erased_further(parts: Parts, request: Request, erasure: Erasure, words: Sequence[str]) -> Backbone:
    """The model after an erasure and further ones of other objects by the same method, one after another."""
    model, clip = with_erasure(parts.model, erasure), with_text_erasure(parts.clip, erasure)
    eraser = METHODS[erasure.metadata["method"]]
    settings = eraser.preset(default_preset(eraser.name, request.model))
    for word in words:
        more = eraser.erase(backbone_of(model, clip, parts.vae), [word], settings=settings)
        model, clip = with_erasure(model, more), with_text_erasure(clip, more)
    return backbone_of(model, clip, parts.vae)
