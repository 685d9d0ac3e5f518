"""What is trained on: one picture with its masks and attention targets, as it is and mirrored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...attention.resize import area_mean
from ...backbone import Backbone
from ...messages import listed
from ...types import Concepts, Source
from .draws import EVEN, Draws


@dataclass(frozen=True, eq=False)
class Example:
    """A picture ready for training.

    Attributes:
        latent: (1, C, h, w) scaled latent.
        masks: (N, h, w) in 0..1, the share of each latent cell a concept covers.
        targets: (N, gh, gw), each summing to 1, on the attention grid.
    """

    latent: Tensor
    masks: Tensor
    targets: Tensor

    def union(self, members: Sequence[int]) -> Tensor:
        """(h, w): the largest of the members' masks."""
        return self.masks[list(members)].amax(0)

    def fit_targets(self, grid: tuple[int, int]) -> "Example":
        """The example with its targets on another grid; pictures of any size share it, maps and targets alike."""
        return replace(self, targets=fit_targets(self.targets, grid))

    def repeated(self, times: int) -> "Example":
        """The example with all masks and targets several times over, for concepts of several tokens each."""
        return replace(self, masks=self.masks.repeat(times, 1, 1), targets=self.targets.repeat(times, 1, 1))


def prepare(backbone: Backbone, picture: Tensor, concepts: Concepts, mirrored: bool = False) -> Example:
    """Encode a picture and bring its masks to the latent's size; targets stay on the concepts' grid.

    A mirrored picture is encoded as such, since an encoder is not exactly symmetric.

    Args:
        backbone: encodes the picture.
        picture: (1, 3, H, W) in 0..1.
        concepts: N concepts of this picture.
        mirrored: left and right exchanged.

    Raises ``ValueError`` for batches, pictures that are not finite or not the concepts' own, no concepts, and empty
    masks.
    """
    check(picture, concepts)
    turn = (lambda tensor: tensor.flip(-1)) if mirrored else (lambda tensor: tensor)
    with torch.no_grad():
        latent = backbone.encode_image(turn(picture.clone())).float()
    if not torch.isfinite(latent).all():
        raise ValueError("the picture's latent is not finite: the VAE is damaged or runs in too low a precision")
    size = (latent.shape[-2], latent.shape[-1])
    masks = fit(turn(concepts.masks.clone().float()), size).to(latent.device)  # (N, h, w)
    targets = turn(concepts.targets.clone().float()).to(latent.device)  # (N, gh, gw)
    return Example(latent, masks, targets)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a training.

    Attributes:
        straight: each picture as it is.
        mirrored: their mirror images in the same order; empty where none shall be used.
    """

    straight: tuple[Example, ...]
    mirrored: tuple[Example, ...] = ()

    def draw(self, flip: float, generator: torch.Generator, draws: Draws = EVEN) -> tuple[int, bool]:
        """Draw one of the pictures, and whether it is mirrored (with probability ``flip``)."""
        index = draws.choose(len(self.straight), generator)
        return index, bool(self.mirrored) and float(torch.rand(1, generator=generator)) < flip

    def example(self, index: int, mirrored: bool) -> Example:
        """One of the pictures, mirrored or not."""
        return (self.mirrored if mirrored else self.straight)[index]

    def each(self, change: Callable[[Example], Example]) -> "Pictures":
        """All pictures, changed one by one."""
        return Pictures(tuple(map(change, self.straight)), tuple(map(change, self.mirrored)))


def prepare_all(backbone: Backbone, sources: Sequence[Source], mirrored: bool) -> Pictures:
    """Every picture as it is, and its mirror image where ``mirrored`` asks for it (else none)."""
    turns = (False, True) if mirrored else (False,)
    return Pictures(*(tuple(prepare(backbone, one.picture, one.concepts, turn) for one in sources) for turn in turns))


def aligned(source: Source, names: Sequence[str]) -> Source:
    """A further picture with its concepts in the order of ``names``.

    Raises ``ValueError`` when it does not show exactly these concepts.
    """
    there = source.concepts.names
    if set(there) != set(names):
        raise ValueError(
            f"every picture must show the same concepts: the first has {listed(names)}, another one "
            f"{listed(there)}. Match them, or drop those that are not in all"
        )
    return replace(source, concepts=source.concepts.pick([there.index(name) for name in names]))


def fit(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (N, h, w) to another size by averaging over areas, so that no mask is lost: (N, *size) in 0..1."""
    return area_mean(masks, size)


def fit_targets(targets: Tensor, grid: tuple[int, int]) -> Tensor:
    """Distributions (N, h, w) to another grid, each summing to 1 again."""
    resized = fit(targets, grid)
    return resized / resized.sum((1, 2), keepdim=True)


def check(picture: Tensor, concepts: Concepts) -> None:
    """Refuse what cannot be learnt from; see :func:`prepare`."""
    if picture.ndim != 4 or picture.shape[0] != 1 or picture.shape[1] != 3:
        raise ValueError(f"expected one picture (1, 3, H, W), got {tuple(picture.shape)}")
    if not torch.isfinite(picture).all():
        raise ValueError("the picture has values that are not finite")
    if len(concepts) == 0:
        raise ValueError("there are no concepts to learn: localize concepts first, or draw masks")
    if tuple(picture.shape[-2:]) != tuple(concepts.picture_size):
        raise ValueError(
            f"the concepts belong to a picture of {concepts.picture_size} (H, W), got {tuple(picture.shape[-2:])}: "
            "use the picture they were found in"
        )
    empty = [name for name, mask in zip(concepts.names, concepts.masks, strict=True) if not mask.any()]
    if empty:
        raise ValueError(f"the masks of {listed(empty)} are empty: drop these concepts or paint their masks")
    sums = concepts.targets.sum((1, 2))  # (N,)
    if not (torch.isfinite(concepts.targets).all() and (concepts.targets >= 0).all() and (sums > 0).all()):
        raise ValueError("attention targets must be finite, non-negative and not all zero")
