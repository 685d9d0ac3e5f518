"""Concept heads for people: features of pictures for them, labels, and what a training was worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.explain.activations import Activations
from ....core.explain.bank import ConceptBank
from ....core.explain.registry import encode
from ....core.explain.scores import PictureScores
from ....core.messages import counted, listed, plain, shown, there_are
from ....core.recognise.heads.features import FeatureKind, HeadFeatures
from ....core.recognise.heads.head import ConceptHead, HeadVerdict
from ....core.recognise.heads.registry import LAYERS
from ....core.recognise.heads.training import HeadReport
from ....core.steps import OnStep
from ...pictures.charts import draw_bars
from ..explain.ingredients import check_pictures
from ..paired_texts import COMMON_WORDS, word_features
from ..vision import encoder_origin, picture_features, record_encoder

LIKED, DISLIKED = "liked", "disliked"
MOST_CHARTS, REASONS, LUCKY = 6, 3, 0.1
"""Classes that the chart shows, concepts of a reason, and the share of random labels from which nothing was learnt."""


@dataclass(frozen=True, eq=False)
class FeatureSource:
    """Where features of pictures come from.

    Attributes:
        kind: what they are.
        clip_vision: the picture encoder; None where ingredients come from a denoiser.
        names: of the concepts; empty for raw numbers.
        texts: (K, D) features of the words, for ``words``.
        bank: the ingredients.
        site: of the positions, for a local layer; None reads none, "" takes a good one.
    """

    kind: FeatureKind
    clip_vision: Any
    names: tuple[str, ...] = ()
    texts: Tensor | None = None
    bank: ConceptBank | None = None
    site: str | None = None

    def read(
        self, pictures: Tensor, activations: Activations | None = None, on_step: OnStep | None = None
    ) -> HeadFeatures:
        """Features of pictures (P, 3, H, W).

        Raises ``ValueError`` for ingredients without activations of as many pictures, and what the encoder raises.
        """
        if self.kind == "ingredients":
            if self.bank is None or activations is None:
                raise ValueError("ingredients need a CONCEPT_BANK and the ACTIVATIONS of the pictures; connect both")
            check_pictures(len(activations), pictures)
            codes = encode(self.bank, activations)
            maps = codes.values / self.bank.peaks
            return HeadFeatures(codes.scores(), self.bank.names, self.bank.origin, self.kind, maps, None, codes.grid)
        if self.clip_vision is None:
            raise ValueError(f"features of the kind {shown(self.kind)} need a CLIP_VISION; connect the picture encoder")
        seen = picture_features(self.clip_vision, pictures)
        origin = encoder_origin(self.clip_vision, seen.shape[1])
        if self.kind == "raw":
            return HeadFeatures(seen, tuple(str(number) for number in range(1, seen.shape[1] + 1)), origin, self.kind)
        if self.texts is None or self.texts.shape[1] != seen.shape[1]:
            raise ValueError("this picture encoder is another than the one that the words were compared with")
        found = HeadFeatures(seen @ self.texts.T, self.names, origin, self.kind)
        if self.site is None:
            return found
        positions = record_encoder(self.clip_vision, pictures, self.site, on_step)
        return replace(found, tokens=positions.rows, grid=positions.grid, site=positions.origin.site)


def source_for(
    kind: FeatureKind,
    layer: str,
    clip_vision: Any,
    clip: Any,
    words: Sequence[str],
    template: str,
    bank: ConceptBank | None,
    site: str,
    on_step: OnStep | None = None,
) -> FeatureSource:
    """What a training asks for.

    Raises ``ValueError`` for a local layer without words, and words without the text encoder, and what
    :func:`word_features` raises.
    """
    local = LAYERS[layer].local
    if local and kind != "words":
        raise ValueError(f"the concept layer {shown(layer)} needs features of the kind 'words', got {shown(kind)}")
    if kind != "words":
        return FeatureSource(kind, clip_vision, bank=bank)
    if clip is None:
        raise ValueError("features of the kind 'words' need the CLIP that was trained with the picture encoder")
    names = tuple(dict.fromkeys(words)) or COMMON_WORDS
    width = picture_features(clip_vision, torch.zeros(1, 3, 64, 64)).shape[1]
    texts = word_features(clip_vision, clip, names, width, template, on_step)
    return FeatureSource(kind, clip_vision, names, texts, None, site if local else None)


def source_of(head: ConceptHead, clip_vision: Any) -> FeatureSource:
    """What a trained head asks for."""
    site = head.site if LAYERS[head.layer].local else None
    return FeatureSource(head.kind, clip_vision, head.names, head.texts, head.bank, site)


def labels_of(count: int, further: int, text: str) -> tuple[Tensor, tuple[str, ...]]:
    """The class (P,) long of each picture, and the classes' names.

    Args:
        count: pictures.
        further: disliked ones, 0 where none are connected; then the text has a line for each picture.

    Raises ``ValueError`` for both, for neither, and for another number of lines than pictures.
    """
    lines = [line.strip() for line in text.strip("\n").splitlines()] if text.strip() else []
    if further and lines:
        raise ValueError("labels are written and disliked is connected; give one of them")
    if further:
        return torch.tensor([0] * count + [1] * further), (LIKED, DISLIKED)
    if not lines:
        raise ValueError("connect disliked pictures, or write a class for each picture, one per line, into labels")
    if len(lines) != count or not all(lines):
        raise ValueError(f"{there_are((count, 'picture'), (len(lines), 'label'))}; write one line for each picture")
    names = tuple(dict.fromkeys(lines))
    return torch.tensor([names.index(line) for line in lines]), names


def describe_training(head: ConceptHead, report: HeadReport, labels: Tensor) -> str:
    """What was learnt and what it is worth, whole sentences."""
    counts = torch.bincount(labels, minlength=len(head.classes)).tolist()
    of = ", ".join(f"{number} {plain(name)}" for name, number in zip(head.classes, counts, strict=True))
    lines = [f"Trained on {len(labels)} pictures: {of}."]
    said = f"Of held-out pictures, {report.accuracy:.0%} are classified correctly (chance: {report.chance:.0%}"
    if report.probe is not None:
        said += f"; a linear probe of the encoder's raw numbers: {report.probe:.0%}"
    if report.permuted:
        mean = sum(report.permuted) / len(report.permuted)
        said += f"; with labels in random order: {mean:.0%}"
    lines.append(f"{said}).")
    lucky = sum(one >= report.accuracy for one in report.permuted)
    if lucky and report.luck is not None and report.luck > LUCKY:
        lines.append(
            f"Labels in random order did as well in {lucky} of {counted(len(report.permuted), 'training')}, so that "
            "this may be chance: give more pictures."
        )
    lines += weights_said(head)
    return "\n".join(lines)


def weights_said(head: ConceptHead) -> list[str]:
    """A line for each class: the concepts it rests on. Of two classes the first one's says all."""
    shown_classes = range(1 if len(head.classes) == 2 else len(head.classes))
    lines = []
    for index in shown_classes:
        rests = ", ".join(f"{plain(name)} {weight:+.2f}" for name, weight in head.reasons(index))
        lines.append(f"{plain(head.classes[index])}: {rests or 'no concept'}")
    return lines


def weights_chart(head: ConceptHead) -> Tensor:
    """IMAGE (1, h, w, 3): bars of the concepts that each class rests on."""
    charts = []
    for index in range(1 if len(head.classes) == 2 else min(MOST_CHARTS, len(head.classes))):
        reasons = head.reasons(index, 10) or [("no concept", 0.0)]
        names, values = zip(*reasons, strict=True)
        charts.append(draw_bars(f"What speaks for {plain(head.classes[index])}", names, values))
    return torch.cat(charts, 1)


def scores_for(head: ConceptHead, verdict: HeadVerdict) -> PictureScores:
    """Probabilities of classes, and what spoke for each picture's: concepts, or that one is missing (``no red``)."""
    reasons, beyond = [], head.fitted.weights - head.fitted.weights.mean(0)  # (C, K)
    for row, parts in zip(verdict.probabilities, verdict.parts, strict=True):
        best = int(row.argmax())
        order = parts[best].argsort(descending=True, stable=True).tolist()[:REASONS]
        names = [head.names[k] if float(beyond[best, k]) > 0 else f"no {head.names[k]}" for k in order]
        spoke = ", ".join(name for name, k in zip(names, order, strict=True) if float(parts[best, k]) > 1e-6)
        reasons.append(f"{head.classes[best]} {float(row[best]):.0%}" + (f", because of {spoke}" if spoke else ""))
    valid = f"Trained on {head.metadata.get('pictures', 'some')} pictures: valid for {head.origin.title} alone."
    return PictureScores(verdict.probabilities, head.classes, "probability", valid, tuple(reasons))


def class_masks(
    head: ConceptHead, verdict: HeadVerdict, features: HeadFeatures, by: str, size: tuple[int, int]
) -> Tensor:
    """MASK (P, H, W) in 0..1: where a class is, by name, or each picture's most likely one; empty without positions.

    The strongest position of all pictures counts as 1. Raises ``ValueError`` for a class that the head does not have.
    """
    if by and by not in head.classes:
        raise ValueError(f"this concept head has no class {shown(by)}; it has {listed(head.classes)}")
    count = len(features)
    if verdict.maps is None or features.grid is None:
        return torch.zeros(count, *size)
    chosen = torch.full((count,), head.classes.index(by)) if by else verdict.probabilities.argmax(1)
    maps = verdict.maps[torch.arange(count), chosen].unflatten(1, features.grid)  # (P, h, w)
    full = interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return (full / full.max().clamp(min=1e-8)).clamp(0, 1)
