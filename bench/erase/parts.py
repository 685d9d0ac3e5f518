"""What every case of ``bench erase`` and ``bench attack`` needs: models, judge, erasures, pictures both ways."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.backbone import Backbone
from ...core.erase.registry import METHODS
from ...core.types import Erasure
from ...host.adapters import backbone_of, with_erasure, with_text_erasure
from ...host.shared.handles import ClipHandle, ModelHandle, VaeHandle
from ...lab.judge.judge import Judge, load_judge
from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.captions import Phrase
from ..command import load_parts
from ..drawing import draw
from ..harness import TRANSFORMER, Request
from .looks import Look, looks_in

SEEDS = 4


@dataclass(frozen=True, eq=False)
class Parts:
    """What every case needs."""

    model: ModelHandle
    clip: ClipHandle
    vae: VaeHandle
    judge: Judge
    seen: dict[tuple[str, int], Mapping[str, Look]] = field(default_factory=dict)

    @cached_property
    def backbone(self) -> Backbone:
        return backbone_of(self.model, self.clip, self.vae)

    def without(self, erasure: Erasure) -> Backbone:
        """The backbone with an erasure in force."""
        return backbone_of(with_erasure(self.model, erasure), with_text_erasure(self.clip, erasure), self.vae)

    def found_before(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Mapping[str, Look]]:
        """What the judge finds in the pictures of the model as it is, with its look; each is drawn once."""
        wanted = list(zip(prompts, seeds, strict=True))
        fresh = [key for key in dict.fromkeys(wanted) if key not in self.seen]
        if fresh:
            pictures = draw(self.backbone, [prompt for prompt, _ in fresh], [seed for _, seed in fresh])
            self.seen.update(zip(fresh, looks_in(self.judge, pictures), strict=True))
        return [self.seen[key] for key in wanted]


def prepare(request: Request) -> Parts:
    """The model and the judge."""
    return Parts(*load_parts(Path(request.model) if request.model else None, request.untrained), load_judge())


def both_ways(
    parts: Parts, after: Backbone, asked: Sequence[tuple[Phrase, ObjectKind]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """For every phrase whether its object is found in the picture before and after, drawn from the same noise, and in
    which look; None where it is not found."""
    prompts = [f"a photo of {phrase}" for phrase, _ in asked]
    was = parts.found_before(prompts, seeds)
    there = looks_in(parts.judge, draw(after, prompts, seeds)) if prompts else []
    return [
        {
            "asked": phrase.word,
            "before": kind.name in earlier,
            "after": kind.name in later,
            "looks": [earlier.get(kind.name), later.get(kind.name)],
        }
        for (phrase, kind), earlier, later in zip(asked, was, there, strict=True)
    ]


def noise_seed(request: Request, phrase: Phrase, turn: int) -> int:
    """The seed of a phrase's picture: one of a few, so that many erasures share the picture before."""
    return zlib.crc32(f"{request.seed}:{phrase}:{turn % SEEDS}".encode())


def default_preset(method: str, model: str) -> str:
    """The preset of a method for the lab model that is measured: its own for the transformer where it has one."""
    own = "small_transformer"
    return own if model == TRANSFORMER and own in METHODS[method].presets else "small"


def erasure_of(backbone: Backbone, request: Request, concepts: Sequence[str], preserve: Sequence[str]) -> Erasure:
    """The erasure that is asked for; for the control, of a random vector instead of the concepts."""
    eraser = METHODS[request.options.get("method", "uce")]
    preset = request.options.get("preset") or default_preset(eraser.name, request.model)
    settings = replace(eraser.preset(preset), **request.options.get("set", {}))
    anchor = request.options.get("anchor", "")
    if not request.options.get("random_vector"):
        return eraser.erase(backbone, concepts, anchor, preserve, settings)
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


def _vector(backbone: Backbone, name: str) -> Tensor:
    """The encoded name at its last token."""
    text = f"a {name}"
    position = backbone.tokenize(text).tokens[-1].position
    return backbone.encode_text([text]).context[0, position]


def _spread(backbone: Backbone, encoder: str) -> Tensor:
    """Standard deviation of the token table's rows for some words, so that a random vector is of their size."""
    rows = [backbone.word_vectors(kind.name)[encoder] for kind in load_atlas().of_split("train")]
    return torch.cat(rows).std()
