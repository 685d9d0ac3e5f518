"""What our work costs beside the plain computation it rests on. Run under inference mode, as nodes are."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from ...core.backbone import Backbone
from ...core.erase.methods.uce import METHOD as uce
from ...core.learn.engine.settings import OnStep
from ...core.learn.methods.conceptexpress import METHOD as learning
from ...core.learn.parts.prompts import single_and_joint
from ...core.localize.methods.conceptexpress import METHOD as localizing
from ...core.masks import from_masks
from ...core.types import Concepts, ConceptTokens
from ...host.adapters import at_work, backbone_of, with_erasure
from .capturing import capture_cost, listening_cost
from .erasing import methods_cost
from .ground import Ground, Shape, made_up_words
from .growth import growth_cost
from .heat_maps import heat_maps_cost
from .meters import Time, interleaved, megabytes, memory_of, ratios, resident_growth, timed
from .parts import clustering_cost, maps_cost, token_map_cost, transport_cost_of_release
from .recomputing import recomputing_cost
from .settings import CostSettings
from .solving import Listening, solving_cost
from .start import start_cost
from .text_encoding import text_encoding_cost
from .transformer_learning import learning_memory
from .transformers import blocks_cost

ERASED = (1, 10, 100)
ENCODING = ("encode_text", "encode_beginnings")


def localize_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """Localize Concepts, from the picture to its masks, against one pass of the denoiser; ``from_latent`` without the
    picture encoder, which belongs to the model as the denoiser does."""
    backbone = backbone_of(ground.model, ground.clip, ground.vae)
    preset, picture = localizing.preset(shape.localize), _picture(shape.side)
    latent = backbone.encode_image(picture)
    encoding = timed(lambda: backbone.encode_image(picture))
    times = interleaved(
        lambda: ground.forward(latent), lambda: localizing.localize(backbone, picture, preset), settings.repetitions
    )
    encoded: Any = _Encoded(backbone, latent)
    rest = ratios(
        *interleaved(
            lambda: ground.forward(latent), lambda: localizing.localize(encoded, picture, preset), settings.repetitions
        )
    )
    return ratios(*times) | {
        "preset": shape.localize,
        "passes": max(1, preset.noise_draws),
        "picture_encoder_s": round(encoding.wall, 4),
        "from_latent": {name: rest[name] for name in ("cpu_ratio", "cpu_ratio_range")},
    }


def learn_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """A step of Learn Concept Tokens against forward and backward through the same modules, after each step.

    Memory is that of two steps against that of one plain pass; what is kept is measured after a finished training and
    after one that was cancelled at its first step.
    """
    names = [str(number + 1) for number in range(settings.concepts)]
    prompts = single_and_joint(names, learning.preset(shape.learn).template)
    texts = [prompt.text for prompt in prompts]
    backbone = backbone_of(ground.model, ground.clip, ground.vae)
    cells = shape.side // backbone.latent_downscale
    rows = torch.randn(len(texts), 4, cells, cells, generator=torch.Generator().manual_seed(0))
    steps, plain, memory = _Laps(), [], []

    def after_step(done: int, total: int, loss: float, tokens: ConceptTokens) -> None:
        steps.stop()
        if done == 1:  # the first step also loads the model; and the plain pass gets ready
            memory.append(memory_of(lambda: ground.forward_backward(rows, texts, tokens.placeholders())))
        else:
            plain.append(timed(lambda: ground.forward_backward(rows, texts, tokens.placeholders())))
        steps.start()

    _learn(ground, shape, settings, settings.repetitions + 1, after_step)
    finished = memory_of(lambda: _learn(ground, shape, settings, 2, None))
    cancelled = memory_of(lambda: _cancelled(ground, shape, settings))
    return ratios(plain, steps.laps[1:]) | {
        "preset": shape.learn,
        "concepts": settings.concepts,
        "rows": len(texts),
        "plain_peak_mb": megabytes(memory[0].peak),
        "ours_peak_mb": megabytes(finished.peak),
        "kept_after_finishing_mb": megabytes(finished.kept),
        "kept_after_cancelling_mb": megabytes(cancelled.kept),
    }


def erase_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """Erase Concepts of 1, 10 and 100 concepts: seconds, how many of them the text encoder takes, resident memory."""
    counts = {}
    for count in ERASED:
        backbone = Listening(backbone_of(model=ground.model, clip=ground.clip), ENCODING)
        texts = list(made_up_words(count + settings.preserved))
        spent: list[Time] = []

        def erase(backbone: Any = backbone, texts: list[str] = texts, count: int = count) -> None:
            chosen = uce.preset(shape.erase)
            found = uce.erase(backbone, texts[:count], "", texts[count:], chosen)
            with_erasure(ground.model, found)

        grown = resident_growth(lambda erase=erase, spent=spent: spent.append(timed(erase)))
        times = {"seconds": round(spent[0].wall, 2), "cpu_s": round(spent[0].cpu, 2)}
        counts[str(count)] = times | {"in_text_encoder_cpu_s": round(backbone.cpu, 2), "resident_mb": grown}
    return {"preset": shape.erase, "preserved": settings.preserved, "repetitions": 1, "concepts": counts}


Measure = Callable[[Any, Shape, CostSettings], dict[str, Any]]

FIGURES: Mapping[str, Measure] = {
    "capture": capture_cost,
    "listening": listening_cost,
    "localize": localize_cost,
    "learn": learn_cost,
    "erase": erase_cost,
    "erase by method": methods_cost,
    "solving": solving_cost,
    "text encoding": text_encoding_cost,
    "attention maps": maps_cost,
    "clustering": clustering_cost,
    "transport": transport_cost_of_release,
    "recomputing": recomputing_cost,
    "start": start_cost,
    "heat maps": heat_maps_cost,
    "growth": growth_cost,
}
"""Of UNets."""

TRANSFORMER_FIGURES: Mapping[str, Measure] = {
    "transformer blocks": blocks_cost,
    "transformer learning": learning_memory,
    "token map": token_map_cost,
}
"""Of transformers at real widths, with few of their blocks."""


def figures_of(shape: Shape) -> Mapping[str, Measure]:
    """The figures that are measured on a model."""
    return TRANSFORMER_FIGURES if shape.transformer else FIGURES


class _Laps:
    """Times of what happens between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self.laps: list[Time] = []
        self.start()

    def start(self) -> None:
        self._began = _now()

    def stop(self) -> None:
        now = _now()
        self.laps.append(Time(now.wall - self._began.wall, now.cpu - self._began.cpu))


class _Encoded:
    """A backbone that has its picture encoded already."""

    def __init__(self, backbone: Backbone, latent: torch.Tensor) -> None:
        self._backbone, self._latent = backbone, latent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        return self._latent


class _Cancelled(Exception):
    pass


def _learn(ground: Ground, shape: Shape, settings: CostSettings, steps: int, after_step: OnStep | None) -> None:
    chosen = replace(learning.preset(shape.learn), steps=steps, start="rare")  # no search for start words
    with at_work(backbone_of(ground.model, ground.clip, ground.vae)) as backbone:
        concepts = _concepts(shape, backbone.latent_downscale, settings.concepts)
        learning.learn(backbone, _picture(shape.side), concepts, chosen, on_step=after_step)


def _cancelled(ground: Ground, shape: Shape, settings: CostSettings) -> None:
    def stop(*_: Any) -> None:
        raise _Cancelled

    try:
        _learn(ground, shape, settings, 2, stop)
    except _Cancelled:
        return


def _picture(side: int) -> torch.Tensor:
    """(1, 3, side, side): coloured discs, the first on the left, on blue."""
    picture = torch.tensor([0.1, 0.2, 0.7]).view(1, 3, 1, 1).repeat(1, 1, side, side)
    for mask, colour in zip(_masks(side, 2), ([0.9, 0.1, 0.1], [0.1, 0.8, 0.2]), strict=True):
        picture[:, :, mask] = torch.tensor(colour).view(1, 3, 1)
    return picture


def _masks(side: int, count: int) -> torch.Tensor:
    """(count, side, side) bool: discs side by side."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    width = side / count
    centres = [(number + 0.5) * width for number in range(count)]
    return torch.stack([(x - at) ** 2 + (y - side / 2) ** 2 < (0.4 * min(width, side / 2)) ** 2 for at in centres])


def _concepts(shape: Shape, downscale: int, count: int) -> Concepts:
    cells = shape.side // downscale
    return from_masks.concepts_from_masks(_masks(shape.side, count), (shape.side, shape.side), (cells, cells))


def _now() -> Time:
    return Time(time.perf_counter(), time.process_time())
