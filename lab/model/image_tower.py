"""The lab's own little CLIP: the text encoder with an image tower that was trained against it (arXiv 2103.00020)."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Conv2d, Linear

from ...core.files import load_tensors
from .modules import TEXT_WIDTH, build_text_encoder
from .vae import ResidualBlock

if TYPE_CHECKING:
    from transformers import CLIPTextModel

SIDE = 64
"""Pixels a side of the pictures that the tower was trained on."""

GRIDS = {16: 3, 8: 5, 4: 7}
"""Cells a side of a grid to how many stages compute it."""


class ImageTower(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 to unit vectors (B, width)."""

    def __init__(self, width: int = TEXT_WIDTH) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.PixelUnshuffle(4),
            Conv2d(48, 48, 3, padding=1),
            ResidualBlock(48),
            Conv2d(48, 96, 3, stride=2, padding=1),
            ResidualBlock(96),
            Conv2d(96, 160, 3, stride=2, padding=1),
            ResidualBlock(160),
        )
        self.project = Linear(2 * 160, width)

    def read(self, picture: Tensor, cells: int) -> Tensor:
        """What its blocks compute of pictures (B, 3, 64, 64) in -1..1 on a grid of ``cells``, (B, D, cells, cells).

        Raises ``ValueError`` for a grid that it does not have.
        """
        if cells not in GRIDS:
            raise ValueError(f"the lab's image tower has grids of {', '.join(map(str, GRIDS))} cells, got {cells}")
        return self.stages[: GRIDS[cells]](picture)

    def forward(self, picture: Tensor) -> Tensor:
        return self.finish(self.stages[: GRIDS[16]](picture), 16)

    def finish(self, states: Tensor, cells: int) -> Tensor:
        """Unit vectors (B, width) of what :meth:`read` gives, (B, D, cells, cells)."""
        features = self.stages[GRIDS[cells] :](states)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return F.normalize(self.project(pooled), dim=1)


class ContrastivePair(nn.Module):
    """A text encoder, its projection and an image tower.

    Args:
        temperature: that training begins with.
        text: the encoder; a fresh one by default.
    """

    def __init__(self, temperature: float = 0.07, text: "CLIPTextModel | None" = None) -> None:
        super().__init__()
        self.text = text if text is not None else build_text_encoder()
        self.text_projection = Linear(TEXT_WIDTH, TEXT_WIDTH, bias=False)
        self.image = ImageTower()
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def read_text(self, tokens: Tensor) -> Tensor:
        """Token ids (B, L) to what the text encoder says at each caption's end, (B, width); cut after the longest
        caption, which causality allows."""
        end = tokens.eq(self.text.config.eos_token_id).int().argmax(1)  # (B,)
        states = self.text(tokens[:, : int(end.max()) + 1]).last_hidden_state  # (B, longest, width)
        return states[torch.arange(len(tokens)), end]  # (B, width)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token ids (B, L) to unit vectors."""
        return F.normalize(self.text_projection(self.read_text(tokens)), dim=1)

    def encode_image(self, picture: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 of any size to unit vectors."""
        return self.image(small_pictures(picture))

    def compare(self, picture: Tensor, text_features: Tensor) -> Tensor:
        """Similarities (B, B) times the scale, rows pictures in -1..1 at ``SIDE``, columns captions as
        :meth:`read_text` gives them."""
        captions = F.normalize(self.text_projection(text_features), dim=1)  # (B, width)
        return self.log_scale.exp().clamp(max=100) * self.image(picture) @ captions.T  # (B, width) @ (width, B)

    def tower_state(self) -> dict[str, Tensor]:
        """All but the text encoder, which has a file of its own."""
        return {key: value for key, value in self.state_dict().items() if not key.startswith("text.")}


def small_pictures(picture: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1 of any size as the tower reads them: (B, 3, 64, 64) in -1..1."""
    return F.interpolate(picture, (SIDE, SIDE), mode="area") * 2 - 1


def load_contrastive_pair(folder: Path | None = None) -> ContrastivePair:
    """The pair that ships, or another model folder's, in evaluation mode.

    Raises:
        FileNotFoundError: naming the missing file and how to make it.
    """
    from .weights import FILES, WEIGHTS, load_part

    folder = folder or WEIGHTS
    _check_files(folder, FILES["text_encoder"])
    pair = ContrastivePair()
    pair.load_state_dict(
        _tower_tensors(folder) | {f"text.{key}": value for key, value in load_part(folder, "text_encoder").items()}
    )
    return pair.eval().requires_grad_(False)


def load_image_tower(folder: Path | None = None) -> ImageTower:
    """The image tower alone, which needs no transformers. Raises as :func:`load_contrastive_pair` does."""
    from .weights import WEIGHTS

    tower, prefix = ImageTower(), "image."
    tensors = _tower_tensors(folder or WEIGHTS)
    tower.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return tower.eval().requires_grad_(False)


def load_text_projection(folder: Path | None = None) -> Tensor:
    """(width, width) by which what the text encoder says at a text's end comes to the tower's space. Raises as
    :func:`load_contrastive_pair` does."""
    from .weights import WEIGHTS

    return _tower_tensors(folder or WEIGHTS)["text_projection.weight"]


def _tower_tensors(folder: Path) -> dict[str, Tensor]:
    from .weights import IMAGE_TOWER_FILE

    _check_files(folder, IMAGE_TOWER_FILE)
    return {key: value.float() for key, value in load_tensors(folder / IMAGE_TOWER_FILE)[0].items()}


def _check_files(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"{folder / name} is missing. Restore the file from the repository, or train one with "
                f"`python -m concept_atelier lab train tower` and `lab publish`."
            )
