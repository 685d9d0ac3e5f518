"""The lab model on the headless host."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Placeholders
from ...host.adapters import backbone_of
from ...host.headless.sampling import sample
from ...host.shared.conditioning import to_comfy
from ..command import load_parts
from .ground import TEXT, gradients, leaves, plain_copy


class HeadlessGround:
    """See :class:`.ground.Ground`."""

    host = "headless"

    def __init__(self, folder: Path | None = None, untrained: bool = False) -> None:
        self.model, self.clip, self.vae = load_parts(folder, untrained)
        self._text = backbone_of(clip=self.clip).encode_text([TEXT])
        with torch.inference_mode(False):
            self._unet = plain_copy(self.model.unet)
            encoders = {name: replace(one, model=plain_copy(one.model)) for name, one in self.clip.encoders.items()}
            self._plain_clip = replace(self.clip, encoders=encoders)

    def sample(self, model: Any, side: int, steps: int) -> Any:
        cells = side // self.model.latent_downscale
        conditioning = to_comfy(self._text)
        return sample(
            model,
            conditioning,
            conditioning,
            {"samples": torch.zeros(1, 4, cells, cells)},
            seed=1,
            steps=steps,
            cfg=1.0,
        )

    def forward(self, latent: Tensor) -> Any:
        return _predict(self.model.unet, latent, self._text.context)

    def forward_backward(self, latent: Tensor, texts: Sequence[str], placeholders: Placeholders) -> Any:
        with torch.inference_mode(False), torch.enable_grad():
            fresh, vectors = leaves(placeholders)
            context = backbone_of(clip=self._plain_clip).encode_text(texts, fresh).context
            return gradients(_predict(self._unet, latent.clone(), context), vectors)


def _predict(unet: Any, latent: Tensor, context: Tensor) -> Tensor:
    time = torch.full((len(latent),), 500)
    return unet(latent, time, encoder_hidden_states=context, return_dict=False)[0]
