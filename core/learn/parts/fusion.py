"""Concept fusion: cut-outs of several pictures composed into new ones whose masks are known exactly.

The idea is that of FaR (arXiv 2504.03292); how subjects are placed, sized and blended is our own reconstruction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .draws import choose

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Cutout:
    """A subject without its background.

    Attributes:
        picture: (4, h, w) in 0..1: colours already multiplied by coverage, then coverage.
        concept: which concept it is, or None for a subject that the model drew.
        word: its class word, "" for none.
    """

    picture: Tensor
    concept: int | None
    word: str = ""


@dataclass(frozen=True, eq=False)
class Composite:
    """A picture made of cut-outs.

    Attributes:
        picture: (1, 3, H, W) in 0..1.
        masks: (K, H, W) bool, what is visible of each subject.
        subjects: K, which concept each is (None: drawn by the model), and its class word.
    """

    picture: Tensor
    masks: Tensor
    subjects: tuple[tuple[int | None, str], ...]


@dataclass(frozen=True)
class FusionSettings:
    """How subjects are composed.

    Attributes:
        max_subjects: largest number of subjects in a picture.
        sizes: least and greatest longer side of a subject, as shares of the picture's shorter side.
        turn: largest rotation either way, in degrees.
        flip: probability of a mirrored subject.
        overlap: greatest intersection over union of two subjects' boxes; where it cannot be kept, the best try stands.
    """

    max_subjects: int = 3
    sizes: tuple[float, float] = (0.4, 0.9)
    turn: float = 10.0
    flip: float = 0.5
    overlap: float = 0.1

    def __post_init__(self) -> None:
        if self.max_subjects < 1 or not 0 < self.sizes[0] <= self.sizes[1]:
            raise ValueError(
                f"max_subjects must be at least 1, and sizes rise from above 0; got {self.max_subjects}, {self.sizes}"
            )
        if self.turn < 0 or not (0 <= self.flip <= 1 and 0 <= self.overlap <= 1):
            raise ValueError("turn must be 0 or more, flip and overlap in 0..1")


def cut_out(picture: Tensor, mask: Tensor, concept: int | None, word: str = "", feather: int = 2) -> Cutout:
    """A subject cut along its mask, whose edge fades inwards over ``feather`` pixels.

    Args:
        picture: (1, 3, H, W) in 0..1.
        mask: (H, W) bool.

    Raises ``ValueError`` for an empty mask.
    """
    if not mask.any():
        raise ValueError("an empty mask cuts nothing out")
    rows, columns = (mask.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cover = (_softened(mask.float(), feather) * mask)[window][None]  # (1, h, w)
    return Cutout(torch.cat([picture[0][:, window[0], window[1]] * cover, cover]), concept, word)


def fuse(
    references: Sequence[Cutout],
    priors: Sequence[Cutout],
    size: tuple[int, int],
    settings: FusionSettings,
    generator: torch.Generator,
) -> Composite:
    """One to ``max_subjects`` subjects on a plain or clouded ground, at least one of them a reference, none twice.

    Args:
        references: cut-outs of concepts, at least one; of several of one concept a composite has one.
        priors: cut-outs of subjects that the model drew.
        size: (H, W).

    A subject that others hide entirely stays in the list with an empty mask.
    """
    chosen = _chosen(references, priors, settings.max_subjects, generator)
    layers: list[Tensor] = []
    boxes: list[Box] = []
    for cutout in chosen:
        box = _place(cutout, boxes, size, settings, generator)
        boxes.append(box)
        layers.append(_layer(cutout, box, size, settings, generator))
    canvas = ground(size, generator)  # (3, H, W)
    visible: list[Tensor] = []
    for layer in layers:
        canvas = canvas * (1 - layer[3:]) + layer[:3]  # (3, H, W) with (1, H, W)
        visible = [earlier * (1 - layer[3]) for earlier in visible] + [layer[3]]  # (H, W) each
    subjects = tuple((cutout.concept, cutout.word) for cutout in chosen)
    return Composite(canvas.clamp(0, 1)[None], torch.stack(visible) > 0.5, subjects)


def ground(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(3, H, W) in 0..1: one colour, or clouds of several, half each."""
    cells = 1 if float(torch.rand(1, generator=generator)) < 0.5 else 4
    colours = torch.rand(1, 3, cells, cells, generator=generator)  # (1, 3, cells, cells)
    return F.interpolate(colours, size=size, mode="bicubic", align_corners=False)[0].clamp(0, 1)


def eroded(masks: Tensor, pixels: int) -> Tensor:
    """Masks (K, H, W) bool without what lies within so many pixels of their edge; edges of the picture do not count."""
    outside = (~masks).float()[:, None]  # (K, 1, H, W)
    return F.max_pool2d(outside, 2 * pixels + 1, stride=1, padding=pixels)[:, 0] < 0.5


def _chosen(
    references: Sequence[Cutout], priors: Sequence[Cutout], max_subjects: int, generator: torch.Generator
) -> list[Cutout]:
    picked: list[Cutout] = []
    count = 1 + _integer(max_subjects, generator)
    concepts = list(dict.fromkeys(cutout.concept for cutout in references))
    known = 1 + _integer(min(count, len(concepts)), generator)
    for i in torch.randperm(len(concepts), generator=generator)[:known].tolist():
        seen = [cutout for cutout in references if cutout.concept == concepts[i]]  # in several pictures
        picked.append(seen[choose(len(seen), generator)])
    picked += [priors[i] for i in torch.randperm(len(priors), generator=generator)[: count - known].tolist()]
    return [picked[i] for i in torch.randperm(len(picked), generator=generator).tolist()]


def _place(
    cutout: Cutout, taken: Sequence[Box], size: tuple[int, int], settings: FusionSettings, generator: torch.Generator
) -> Box:
    """(top, left, height, width), the first of 30 tries that keeps the overlap, smaller from try to try."""
    tall, wide = cutout.picture.shape[-2:]
    tries = []
    for attempt in range(30):
        low, high = settings.sizes
        side = (low + (high - low) * float(torch.rand(1, generator=generator))) * min(size) * 0.97**attempt
        height, width = (max(round(side * part / max(tall, wide)), 2) for part in (tall, wide))
        height, width = min(height, size[0]), min(width, size[1])
        corner = _integer(size[0] - height + 1, generator), _integer(size[1] - width + 1, generator)
        box = (*corner, height, width)
        worst = max((_box_iou(box, other) for other in taken), default=0.0)
        if worst <= settings.overlap:
            return box
        tries.append((worst, box))
    return min(tries)[1]


def _layer(
    cutout: Cutout, box: Box, size: tuple[int, int], settings: FusionSettings, generator: torch.Generator
) -> Tensor:
    """(4, H, W): a cut-out resized into its box, perhaps mirrored, turned about the box's centre."""
    top, left, height, width = box
    small = F.interpolate(cutout.picture[None], size=(height, width), mode="bilinear", antialias=True)
    small = small.flip(-1) if float(torch.rand(1, generator=generator)) < settings.flip else small
    layer = torch.zeros(1, 4, *size)  # (1, 4, H, W)
    layer[..., top : top + height, left : left + width] = small
    angle = math.radians(settings.turn) * (2 * float(torch.rand(1, generator=generator)) - 1)
    return _turned(layer, angle, (top + height / 2, left + width / 2))[0].clamp(0, 1) if angle else layer[0]


def _turned(layer: Tensor, angle: float, centre: tuple[float, float]) -> Tensor:
    """A layer (1, 4, H, W) turned about a point; what comes from outside is empty."""
    height, width = layer.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5 - centre[0], torch.arange(width) + 0.5 - centre[1], indexing="ij")
    from_x = math.cos(angle) * x + math.sin(angle) * y + centre[1]  # (H, W)
    from_y = -math.sin(angle) * x + math.cos(angle) * y + centre[0]
    where = torch.stack([2 * from_x / width - 1, 2 * from_y / height - 1], -1)[None]  # (1, H, W, 2)
    return F.grid_sample(layer, where, mode="bilinear", padding_mode="zeros", align_corners=False)


def _softened(mask: Tensor, feather: int) -> Tensor:
    """A mask (H, W) averaged so that its edge fades; doubled and cut, so that the fading lies inside."""
    if feather == 0:
        return mask
    side = 2 * feather + 1
    padded = F.pad(mask[None, None], (feather,) * 4, mode="replicate")  # (1, 1, H + 2 feather, W + 2 feather)
    return (2 * F.avg_pool2d(padded, side, stride=1)[0, 0] - 1).clamp(0, 1).maximum(mask / 4)


def _box_iou(a: Box, b: Box) -> float:
    down = max(min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]), 0)
    right = max(min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]), 0)
    return down * right / (a[2] * a[3] + b[2] * b[3] - down * right)


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=generator))
