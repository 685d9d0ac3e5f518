"""The judge: which objects a picture shows, in which style and colour, and how alike two things are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.files import load_tensors
from ..model.weights import COUNTER_FILE, JUDGE_CONFIG, JUDGE_FILE, WEIGHTS
from ..world.atlas import load_atlas
from .counter import CounterNet, things
from .network import CELL, JudgeNet
from .scenes import COLOURS

FOLDER = WEIGHTS / "judge"
WEIGHTS_FILE, CONFIG_FILE, COUNTER = Path(JUDGE_FILE).name, Path(JUDGE_CONFIG).name, Path(COUNTER_FILE).name

LEAST = 4
"""Cells of the smallest thing that is counted."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What the judge sees, cell by cell.

    Attributes:
        objects: (B, K + 1, h, w) probabilities of every kind, the last being nothing known.
        styles: (B, S, h, w) probabilities.
        colours: (B, C + 1, h, w) probabilities, the first being the icon's own colours.
        features: (B, D, h, w), for similarity.
        middles: (B, 2, h, w), how many cells down and to the right the middle of each cell's thing is.
    """

    objects: Tensor
    styles: Tensor
    colours: Tensor
    features: Tensor
    middles: Tensor

    def presence(self) -> Tensor:
        """(B, K) in 0..1: the best that any 3x3 neighbourhood says for each kind."""
        kinds = self.objects[:, :-1]
        return F.avg_pool2d(kinds, 3, stride=1, padding=1, count_include_pad=False).amax((2, 3))

    def style_of(self, kind: int) -> Tensor:
        """(B, S) probabilities of the styles, where the kind with this index is seen."""
        return _averaged(self.styles, self.objects[:, kind])

    def colour_of(self, kind: int) -> Tensor:
        """(B, C + 1) probabilities of the colours, where the kind with this index is seen."""
        return _averaged(self.colours, self.objects[:, kind])

    def middle_of(self, kind: int) -> Tensor:
        """(B, 2): the middle of the cells on which the kind is likeliest, (down, across) as shares of the picture's
        sides; of all cells, weighted, where it is likeliest nowhere."""
        seen = self.objects[:, kind]
        likeliest = (self.objects.argmax(1) == kind).to(seen)
        seen = torch.where(likeliest.any(2).any(1)[:, None, None], likeliest, seen)
        height, width = seen.shape[1:]
        down = (torch.arange(height, device=seen.device) + 0.5) / height
        across = (torch.arange(width, device=seen.device) + 0.5) / width
        total = seen.sum((1, 2)).clamp_min(1e-6)
        return torch.stack([(seen.sum(2) * down).sum(1) / total, (seen.sum(1) * across).sum(1) / total], dim=1)

    def things_of(self, kind: int, row: int = 0, among: Tensor | None = None) -> list[Tensor]:
        """The things of a kind in a picture, each (h, w) bool and of at least :data:`LEAST` cells on which the kind is
        the likeliest, the largest first; ``among``: (h, w) bool, only of these cells. See :func:`.counter.things`."""
        cells = self.objects[row].argmax(0) == kind
        return things(cells if among is None else cells & among, self.middles[row], LEAST)

    def number_of(self, kind: int, row: int = 0) -> int:
        """How many things of a kind a picture shows."""
        return len(self.things_of(kind, row))

    def describe(self, weight: Tensor | None = None) -> Tensor:
        """(B, D) unit vectors: features averaged over a weight (B, h, w) on cells, by default over all known things."""
        weight = 1 - self.objects[:, -1] if weight is None else weight.to(self.features)
        return F.normalize(_averaged(self.features, weight), dim=1)


@dataclass(frozen=True)
class Judge:
    """A trained network with the names of what it knows, the presence above which a thing counts as found, and the
    network that tells things of one kind apart."""

    network: JudgeNet
    names: tuple[str, ...]
    threshold: float
    counter: CounterNet

    @torch.no_grad()
    def look(self, pictures: Tensor, batch: int = 32) -> Reading:
        """Read pictures (B, 3, H, W) in 0..1; sides that are no multiples of 16 are filled up with their edge."""
        down, right = (-side % (2 * CELL) for side in pictures.shape[-2:])
        padded = F.pad(pictures.float(), (0, right, 0, down), mode="replicate") * 2 - 1
        parts = [self._both_ways(part) for part in padded.split(batch)]
        return Reading(*(torch.cat(maps) for maps in zip(*parts, strict=True)))

    def _both_ways(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """The mean over pictures and their mirror images (mirrored back), which lowers the variance."""
        plain = self.network(pictures)
        mirrored = self.network(pictures.flip(3))
        other_way = mirrored.features.new_tensor([1.0, -1.0])[:, None, None]  # a mirror image points to the other side

        def mean(maps: Tensor, others: Tensor) -> Tensor:
            return (maps + others.flip(3)) / 2

        return (
            mean(plain.objects.softmax(1), mirrored.objects.softmax(1)),
            mean(plain.styles.softmax(1), mirrored.styles.softmax(1)),
            mean(plain.colours.softmax(1), mirrored.colours.softmax(1)),
            mean(plain.features, mirrored.features),
            mean(self.counter(plain.features), self.counter(mirrored.features) * other_way),
        )

    def found(self, reading: Reading) -> list[frozenset[str]]:
        """The names found in each picture."""
        present = reading.presence() >= self.threshold
        return [frozenset(self.names[i] for i in row.nonzero().flatten().tolist()) for row in present]

    def index(self, name: str) -> int:
        """The index of a kind. Raises ``KeyError`` for a name that the judge does not know."""
        if name not in self.names:
            raise KeyError(f"the judge does not know {name!r}; it knows {', '.join(self.names)}")
        return self.names.index(name)


def permuted(judge: Judge, seed: int = 0) -> Judge:
    """The judge with permuted names, none in its own place: a control whose figures must fall to chance."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(judge.names), generator=generator).tolist()
    after = {order[i]: order[(i + 1) % len(order)] for i in range(len(order))}  # one cycle has no fixed point
    names = tuple(judge.names[after[i]] for i in range(len(order)))
    return Judge(judge.network, names, judge.threshold, judge.counter)


def build_network(names: Sequence[str] | None = None) -> JudgeNet:
    """An untrained network for the world, or for so many names."""
    atlas = load_atlas()
    return JudgeNet(len(atlas.kinds if names is None else names), len(atlas.styles), len(COLOURS))


def load_judge(folder: Path = FOLDER) -> Judge:
    """The judge that ships, or another one's folder.

    Raises:
        FileNotFoundError: naming the missing file and the command that makes it.
        ValueError: when it was trained on a world with other objects.
    """
    for name, part in ((WEIGHTS_FILE, "judge"), (CONFIG_FILE, "judge"), (COUNTER, "counter")):
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"the {part} is missing: {folder / name}. Restore the file from the repository, or train one with "
                f"`python -m concept_atelier lab train {part}` and `lab publish`."
            )
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    known = tuple(kind.name for kind in load_atlas().kinds)
    if tuple(config["names"]) != known:
        raise ValueError(
            f"the judge in {folder} knows {len(config['names'])} objects, the world has other {len(known)}"
        )
    network, counter = build_network(config["names"]), CounterNet()
    for module, name in ((network, WEIGHTS_FILE), (counter, COUNTER)):
        module.load_state_dict({key: value.float() for key, value in load_tensors(folder / name)[0].items()})
        module.eval().requires_grad_(False)
    return Judge(network, known, config["threshold"], counter)


def _averaged(maps: Tensor, weight: Tensor) -> Tensor:
    """Maps (B, D, h, w) averaged over cells with a weight (B, h, w)."""
    total = weight.sum((1, 2)).clamp_min(1e-6)[:, None]  # (B, 1)
    return torch.einsum("bdhw,bhw->bd", maps, weight) / total  # (B, D)
