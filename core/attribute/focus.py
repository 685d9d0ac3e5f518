"""Where a word's attention goes that should lie on its thing: the share outside a mask, layer by layer.

A token that was learnt, or a trigger word of a LoRA, may have learnt its background as well. The picture is noised to
several levels and read once at each; in every layer the attention to the word is compared with the mask.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.probabilities import call_mean
from ..attention.resize import mask_on, resize_maps
from ..attention.words import find_word
from ..backbone import AttentionCall, Backbone, Placeholders


@dataclass(frozen=True, eq=False)
class Focus:
    """What was found.

    Attributes:
        layers: S names of layers that read text.
        levels: V shares of all timesteps, 0 is clean.
        outside: (S, V) shares of the word's attention outside the mask.
        chance: the share that attention spread evenly would have there.
        heat: (h, w) mean attention to the word, on the latent's grid.
    """

    layers: tuple[str, ...]
    levels: tuple[float, ...]
    outside: Tensor
    chance: float
    heat: Tensor

    @property
    def share(self) -> float:
        """The mean over layers and levels."""
        return float(self.outside.mean())


@torch.no_grad()
def audit_focus(
    backbone: Backbone,
    latent: Tensor,
    text: str,
    word: str,
    mask: Tensor,
    levels: int = 5,
    *,
    seed: int = 0,
    placeholders: Placeholders | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Focus:
    """Read a picture with a text and measure the attention to one word.

    Args:
        backbone: the model.
        latent: (1, C, h, w), without noise.
        text: says what the picture shows.
        word: a word or placeholder of it.
        mask: (H, W) in 0..1, where the word's thing is.
        levels: noise levels, evenly from a tenth to nine tenths of the timesteps; each is one pass.
        seed: of the noise.
        placeholders: learnt tokens that the text names.
        on_step: called after every pass with the finished and the total number; what it raises ends the run.

    Raises ``ValueError`` for a word that is not in the text, no levels, and a mask that covers nothing or everything.
    """
    if levels < 1:
        raise ValueError(f"levels must be 1 or more, got {levels}")
    if mask.ndim != 2 or not 0 < float(mask.mean()) < 1:
        raise ValueError(
            f"the mask {tuple(mask.shape)} must cover a part of the picture (H, W), where the word's thing is, and "
            "leave another part free"
        )
    places = [place for run in find_word(backbone.tokenize(text, placeholders), word) for place in run]
    conditioning = backbone.encode_text([text], placeholders)
    schedule, generator = backbone.schedule, torch.Generator().manual_seed(seed)
    size = (latent.shape[-2], latent.shape[-1])
    shares: dict[str, list[float]] = {}
    heat, readings = torch.zeros(size), 0

    def tap(call: AttentionCall) -> None:
        nonlocal heat, readings
        if call.kind != "cross":
            return
        own = call_mean(call)[0][:, places].mean(1).view(call.grid).cpu()  # (h, w)
        off = 1 - mask_on(mask.cpu(), call.grid)
        shares.setdefault(call.site.name, []).append(float((own * off).sum() / own.sum().clamp_min(1e-12)))
        heat += resize_maps(own[None] / own.sum().clamp_min(1e-12) * own.numel(), size, "bilinear")[0]
        readings += 1

    spans = torch.linspace(0.1, 0.9, levels) if levels > 1 else torch.tensor([0.5])
    with backbone.tap_attention(tap, [site for site in backbone.attention_sites() if site.reads("cross")]):
        for number, span in enumerate(spans.tolist(), 1):
            timestep = torch.tensor([round(span * (schedule.steps - 1))], device=latent.device)
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            backbone.predict_noise(schedule.add_noise(latent, noise, timestep), timestep, conditioning)
            if on_step is not None:
                on_step(number, levels)
    outside = torch.tensor(list(shares.values()))  # (S, V)
    return Focus(tuple(shares), tuple(spans.tolist()), outside, float(1 - mask.float().mean()), heat / readings)
