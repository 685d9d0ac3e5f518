"""``bench recognise --what heads``: what concept heads tell apart, where they look, and how pure their concepts are.

A case is a folder of pictures of one thing each. Heads of every concept layer learn objects, styles and colours from
one half, by similarities to the lab's words, and are judged on the other half: accuracy, beside zero-shot prompts, a
linear probe of the encoder's raw numbers, and a head of each layer that learnt labels in random order. Of a local
layer, how well its maps lie on the thing: the strongest position on it (pointing), the share of the map on it (energy),
and IoU of the part above that share of the strongest which is best on the first half. An even map has the share of the
picture that the thing covers, for energy and IoU alike; beside it stand maps of the classes' words, which no training
made. Of every layer the Oracle Impurity Score of its concepts, and how often the one that speaks most for the answer,
of those whose truth is known, is in the picture (existence); of the head without a layer the pixel check.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...core.recognise.heads.features import HeadFeatures
from ...core.recognise.heads.head import ConceptHead, Fitted
from ...core.recognise.heads.registry import LAYERS
from ...core.recognise.heads.training import PROBE, HeadSettings, balanced, fit_head
from ...core.recognise.impurity import impurity
from ...core.recognise.pixel_check import check_pixels
from ...host.jobs.paired_texts import word_features
from ...host.jobs.recognise.dense import direction_maps
from ...host.jobs.recognise.heads import FeatureSource, source_for
from ...host.jobs.vision import picture_features
from ...lab.world.words import world_words
from ..controls import Control
from ..explain.explain import Parts, prepare
from ..harness import Bench, Request, Row
from ..metrics import iou_matrix
from ..summary import aligned, interval, with_interval
from .class_cases import KINDS, ClassFolder, make_class_folder

PICTURES = 240
TEMPLATES = {"object": "a photo of a {}", "style": "a picture in {} style", "colour": "a photo of a {} thing"}
LOCAL = "local"
READERS = ("zero_shot", "probe", *LAYERS)
PLACES = ("pointing", "energy", "iou")
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of a map's strongest position, of which the best is chosen on the first half."""


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder."""
    options = request.options
    folder = make_class_folder(request.split, index, request.seed, options.get("pictures", PICTURES))
    half = len(folder.pictures) // 2
    ahead, behind = folder.part(slice(half)), folder.part(slice(half, None))
    source = source_for("words", LOCAL, parts.vision, parts.clip, world_words(), "a photo of a {}", None, "")
    raw = FeatureSource("raw", parts.vision)
    seen, asked = source.read(ahead.pictures), source.read(behind.pictures)
    bare = raw.read(ahead.pictures), raw.read(behind.pictures)
    row: Row = {"accuracy": {}, "permuted": {}, "place": {}, "words": {}, "pixels": {}, "impurity": {}, "existence": {}}
    for kind in KINDS:
        labels, classes = ahead.labels[kind], folder.classes[kind]
        if options.get("shuffled"):
            labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(index))]
        heads = {
            name: fit_head(seen, labels, len(classes), layer, HeadSettings(), seed=index)
            for name, layer in LAYERS.items()
        }
        truth = behind.labels[kind]
        row["accuracy"][kind] = {
            "zero_shot": _accuracy(_zero_shot(parts, bare[1], kind, classes), truth, classes),
            "probe": _accuracy(_probe(bare, labels, classes), truth, classes),
            **{name: _accuracy(_answers(fitted, asked, name), truth, classes) for name, fitted in heads.items()},
        }
        row["permuted"][kind] = {
            name: _accuracy(_answers(_shuffled(seen, labels, len(classes), name, index), asked, name), truth, classes)
            for name in LAYERS
        }
        local = _head(heads[LOCAL], asked, classes, LOCAL)
        row["place"][kind] = _places(_own(local, seen, labels), ahead, _own(local, asked, truth), behind)
        words = partial(_of_words, parts, kind, classes)
        row["words"][kind] = _places(words(ahead, labels), ahead, words(behind, truth), behind)
        row["pixels"][kind] = _pixels(_head(heads["none"], asked, classes, "none"), source, behind, truth)
        row["existence"][kind] = {
            name: _existence(_head(fitted, asked, classes, name), asked, behind) for name, fitted in heads.items()
        }
        for name in LAYERS if kind == "object" else ():
            row["impurity"][name] = _impurity(heads[name], asked, behind, name)
    return row


def _zero_shot(parts: Parts, bare: HeadFeatures, kind: str, classes: Sequence[str]) -> Tensor:
    texts = word_features(parts.vision, parts.clip, classes, bare.values.shape[1], TEMPLATES[kind])
    return (bare.values @ texts.T).argmax(1)


def _probe(bare: tuple[HeadFeatures, HeadFeatures], labels: Tensor, classes: Sequence[str]) -> Tensor:
    return _answers(fit_head(bare[0], labels, len(classes), LAYERS["none"], PROBE), bare[1], "none")


def _shuffled(seen: HeadFeatures, labels: Tensor, classes: int, layer: str, seed: int) -> Fitted:
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed + 1))
    return fit_head(seen, labels[order], classes, LAYERS[layer], HeadSettings(), seed=seed)


def _answers(fitted: Fitted, features: HeadFeatures, layer: str) -> Tensor:
    return fitted.logits(fitted.concepts(features, layer).values).argmax(1)


def _accuracy(answers: Tensor, truth: Tensor, classes: Sequence[str]) -> float:
    return round(balanced(answers, truth, len(classes)), 4)


def _head(fitted: Fitted, features: HeadFeatures, classes: Sequence[str], layer: str) -> ConceptHead:
    site = features.site if LAYERS[layer].local else ""
    return ConceptHead(features.kind, features.names, tuple(classes), layer, fitted, features.origin, site)


def _own(head: ConceptHead, features: HeadFeatures, labels: Tensor) -> Tensor:
    """(P, h, w) the head's map of the class that each picture is of."""
    maps = head.judge(features).maps
    assert maps is not None and features.grid is not None
    return maps[torch.arange(len(labels)), labels].unflatten(1, features.grid)


def _of_words(parts: Parts, kind: str, classes: Sequence[str], folder: ClassFolder, labels: Tensor) -> Tensor:
    """(P, h, w) how well each position fits the word for the class beyond words in general, without any training."""
    width = picture_features(parts.vision, folder.pictures[:1]).shape[1]
    texts = word_features(parts.vision, parts.clip, classes, width, TEMPLATES[kind])
    others = word_features(parts.vision, parts.clip, world_words(), width)
    maps = direction_maps(parts.vision, folder.pictures, texts - others.mean(0))
    return maps[torch.arange(len(labels)), labels].clamp(min=0)


def _places(known: Tensor, ahead: ClassFolder, asked: Tensor, behind: ClassFolder) -> dict[str, float]:
    """How well maps (P, h, w) of the second half lie on its things; where they are cut is chosen on the first half."""
    share = max(SHARES, key=lambda one: _iou(_full(known, ahead.masks), ahead.masks, one))
    full, masks = _full(asked, behind.masks), behind.masks
    peak = full.flatten(1).argmax(1, keepdim=True)
    hit = masks.flatten(1).gather(1, peak)[:, 0] & (full.flatten(1).amax(1) > 0)
    energy = (full * masks).flatten(1).sum(1) / full.flatten(1).sum(1).clamp(min=1e-9)
    found = {
        "pointing": float(hit.float().mean()),
        "energy": float(energy.mean()),
        "iou": _iou(full, masks, share),
        "area": float(masks.float().mean()),
    }
    return {name: round(value, 4) for name, value in found.items()}


def _full(maps: Tensor, masks: Tensor) -> Tensor:
    """Maps (P, h, w) at the size of masks (P, H, W)."""
    size = (masks.shape[-2], masks.shape[-1])
    return interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def _iou(full: Tensor, masks: Tensor, share: float) -> float:
    """The mean over pictures of the IoU of what is above a share of the map's strongest position."""
    above = full > share * full.flatten(1).amax(1)[:, None, None]
    ious = [float(iou_matrix(one[None], mask[None])) for one, mask in zip(above, masks, strict=True)]
    return sum(ious) / len(ious)


def _pixels(head: ConceptHead, source: FeatureSource, folder: ClassFolder, truth: Tensor) -> float:
    """The share of pictures whose true class falls with the thing hidden, and further than elsewhere."""
    found = check_pixels(
        lambda pictures: head.judge(source.read(pictures)).probabilities, folder.pictures, folder.masks.float()
    )
    return round(float(found.passes[torch.arange(len(truth)), truth].float().mean()), 4)


def _existence(head: ConceptHead, features: HeadFeatures, folder: ClassFolder) -> float:
    """The share of pictures that have the concept, of those whose truth is known, whose presence speaks most for the
    answer; pictures for which none speaks are left out."""
    names, present = folder.present()
    verdict = head.judge(features)
    best, rows = verdict.probabilities.argmax(1), torch.arange(len(features))
    beyond = head.fitted.weights - head.fitted.weights.mean(0)  # (C, K)
    parts = torch.where(beyond[best] > 0, verdict.parts[rows, best], 0.0)  # (P, K)
    strongest, concept = parts[:, [head.names.index(name) for name in names]].max(1)
    spoken = strongest > 0
    return round(float(present[rows, concept][spoken].float().mean()), 4) if bool(spoken.any()) else 0.0


def _impurity(fitted: Fitted, features: HeadFeatures, folder: ClassFolder, layer: str) -> dict[str, float]:
    names, present = folder.present()
    values = fitted.concepts(features, layer).values[:, [features.names.index(name) for name in names]]
    found = impurity(values, present)
    assert found is not None
    return {"score": round(found.score, 4), "noise": round(found.noise, 4)}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Every figure's mean over folders with an interval."""

    def over(*path: str) -> dict[str, float]:
        values = []
        for row in rows:
            value: Any = row
            for key in path:
                value = value[key]
            values.append(float(value))
        return interval(values, request.seed)

    return {
        "accuracy": {kind: {reader: over("accuracy", kind, reader) for reader in READERS} for kind in KINDS},
        "permuted": {kind: {name: over("permuted", kind, name) for name in LAYERS} for kind in KINDS},
        "place": {kind: {name: over("place", kind, name) for name in (*PLACES, "area")} for kind in KINDS},
        "words": {kind: {name: over("words", kind, name) for name in PLACES} for kind in KINDS},
        "existence": {kind: {name: over("existence", kind, name) for name in LAYERS} for kind in KINDS},
        "pixels": {kind: over("pixels", kind) for kind in KINDS},
        "impurity": {name: {part: over("impurity", name, part) for part in ("score", "noise")} for name in LAYERS},
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    held = result["summary"]
    head = f"bench recognise heads: {result['cases']} {result['split']} folders"
    accuracy = [[kind, *(with_interval(held["accuracy"][kind][one]) for one in READERS)] for kind in KINDS]
    permuted = [[kind, *(with_interval(held["permuted"][kind][one]) for one in LAYERS)] for kind in KINDS]
    place = [
        [kind, *(with_interval(held["place"][kind][name]) for name in (*PLACES, "area"))]
        + [with_interval(held["words"][kind][name]) for name in PLACES]
        + [with_interval(held["pixels"][kind])]
        for kind in KINDS
    ]
    existence = [[kind, *(with_interval(held["existence"][kind][one]) for one in LAYERS)] for kind in KINDS]
    pure = [[name, *(with_interval(held["impurity"][name][part]) for part in ("score", "noise"))] for name in LAYERS]
    return "\n".join(
        [
            head,
            aligned([["accuracy", *READERS], *accuracy]),
            aligned([["labels in random order", *LAYERS], *permuted]),
            aligned([["local layer", *PLACES, "area", *(f"words, {one}" for one in PLACES), "pixel check"], *place]),
            aligned([["strongest concept is there", *LAYERS], *existence]),
            aligned([["impurity", "score", "by chance"], *pure]),
            "",
        ]
    )


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The mean accuracies."""
    return {
        kind: {reader: one["mean"] for reader, one in readers.items()} for kind, readers in summary["accuracy"].items()
    }


def _object_accuracy(summary: Mapping[str, Any]) -> float:
    return float(summary["accuracy"]["object"]["none"]["mean"])


CONTROLS = (
    Control("shuffled", "accuracy of objects, labels in random order", _object_accuracy, 0.25, {"shuffled": True}),
)
BENCH = Bench("recognise_heads", 2, prepare, measure, figures, table, headline)
