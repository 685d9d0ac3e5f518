"""How soon an erased model learns a concept again from a few pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import Backbone, Conditioning
from ...learn.engine.loop import LoopSettings, draw_timesteps, optimise
from ...learn.parts.adapter import start_adapter
from ...sampling import with_rows
from ..figures import share
from .task import AttackTask


@dataclass(frozen=True, eq=False)
class Relearnt:
    """A re-learning curve.

    Attributes:
        curve: (training step, share of drawings with the concept).
        drawn: (B, 3, H, W) the drawings at its end.
    """

    curve: tuple[tuple[int, float], ...]
    drawn: Tensor


def relearn(task: AttackTask) -> Relearnt:
    """Train the erased model on pictures of the concept under its name, and draw the name every few steps.

    A low-rank change of the weights that ``relearn_layers`` names is trained by the usual denoising loss. The model
    itself is not changed.
    """
    settings, backbone = task.settings, task.erased
    generator, shown = torch.Generator().manual_seed(task.seed), task.shown()
    with torch.inference_mode(False), torch.enable_grad():
        text = _plain(backbone.encode_text(task.sentences([task.concept], 1), task.placeholders))
        latents = torch.cat([backbone.encode_image(one[None].clone()) for one in shown]).clone()  # (P, C, h, w)
        rank, layers = settings.relearn_rank, settings.relearn_layers
        bank = start_adapter(backbone, rank, layers, generator=generator, device=latents.device)
        curve: list[tuple[int, float]] = []
        drawn: list[Tensor] = []

        def look(step: int, loss: float = 0.0) -> None:
            if step in settings.points:
                with bank.in_force(backbone):
                    drawn[:] = [task.draw(backbone, task.sentences([task.concept]))]
                curve.append((step, share(task.detector.found(drawn[0]))))

        def loss_of(step: int) -> Tensor:
            rows = torch.randint(len(latents), (settings.relearn_batch,), generator=generator)
            with bank.in_force(backbone):
                loss = denoising_loss(backbone, latents[rows.to(latents.device)], text, generator)
            task.on_passes(len(rows))
            return loss

        look(0)
        optimise(bank.parameters(), loss_of, LoopSettings(settings.relearn_steps, settings.relearn_rate), look)
    return Relearnt(tuple(curve), drawn[0])


def denoising_loss(backbone: Backbone, clean: Tensor, text: Conditioning, generator: torch.Generator) -> Tensor:
    """The squared error of what is predicted for latents (B, C, h, w) at random noise levels under one text."""
    schedule = backbone.schedule
    times = draw_timesteps(schedule.steps, (0.0, 1.0), len(clean), generator).to(clean.device)  # (B,)
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    noisy = schedule.add_noise(clean, noise, times)
    predicted = backbone.predict_target(noisy, times, with_rows(text, len(clean)))
    return (predicted.float() - schedule.target(clean, noise)).square().mean()


def _plain(text: Conditioning) -> Conditioning:
    """A conditioning that takes no gradients."""

    def copy(tensor: Tensor) -> Tensor:
        return tensor.detach().clone()

    return Conditioning(copy(text.context), {key: copy(value) for key, value in text.extras.items()})
