"""Hidden states of the lab transformer led towards features of the trained UNet, at the same noisy pictures.

Yu et al. 2024 (arXiv 2410.06940) align a transformer's early blocks with an encoder's features. Here the features are
those of the teacher that predicts the targets, which have been computed already: they know the prompt as well, and
cost nothing but a linear layer.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..host.headless.taps import hooked
from ..lab.model.transformer import HEAD_WIDTH, HEADS

LED_BY: Mapping[str, tuple[str, int]] = {
    "transformer_blocks.1": ("up_blocks.1", 128),
    "single_transformer_blocks.2": ("up_blocks.2", 64),
}
"""Block of the transformer to the block of the UNet that it is led by, and its channels."""

Watched = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Hidden states and features."""


class Alignment(nn.Module):
    """A linear map for every pair of :data:`LED_BY`. They are trained beside the transformer and not kept."""

    def __init__(self, pairs: Mapping[str, tuple[str, int]] = LED_BY) -> None:
        super().__init__()
        self.pairs = pairs
        self.maps = nn.ModuleList(nn.Linear(HEADS * HEAD_WIDTH, channels) for _, channels in pairs.values())

    @contextmanager
    def watching(
        self, transformer: nn.Module, unet: nn.Module
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Within, what the blocks put out: hidden states (B, h * w, D) of the transformer, features (B, C, h, w) of
        the UNet, by the transformer's block."""
        hidden: dict[str, Tensor] = {}
        features: dict[str, Tensor] = {}

        def hooks() -> Iterator[list[RemovableHandle]]:
            for block, (teacher, _) in self.pairs.items():
                yield [transformer.get_submodule(block).register_forward_hook(_keeps(hidden, block))]
                yield [unet.get_submodule(teacher).register_forward_hook(_keeps(features, block))]

        with hooked(hooks()):
            yield hidden, features

    def loss(self, hidden: Mapping[str, Tensor], features: Mapping[str, Tensor], taught: Tensor) -> Tensor:
        """Mean squared distance of mapped hidden states from features whose channels have mean 0 and variance 1 in
        every cell; ``taught`` (T,) are the samples of a batch that the UNet saw."""
        losses = []
        for number, block in enumerate(self.pairs):
            wanted = features[block].flatten(2).transpose(1, 2).float()  # (T, h * w, C)
            mapped = self.maps[number](hidden[block][taught])  # (T, h * w, C)
            losses.append(F.mse_loss(mapped.float(), F.layer_norm(wanted, wanted.shape[-1:])))
        return torch.stack(losses).mean()


def _keeps(into: dict[str, Tensor], name: str) -> Any:
    """A hook that keeps a block's output; a transformer's gives text and picture, in this order."""

    def hook(_: nn.Module, __: Any, output: Any) -> None:
        into[name] = output[1] if isinstance(output, tuple) else output

    return hook
