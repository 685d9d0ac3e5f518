"""The attention of a text that is read beside a picture: some noised passes, and no sampling run."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from ..attention.record import AttentionRecorder
from ..backbone import Backbone, Placeholders
from ..schedule import timestep_of_noise
from ..steps import OnStep


@torch.no_grad()
def read_picture(
    backbone: Backbone,
    latent: Tensor,
    text: str,
    recorders: Sequence[AttentionRecorder],
    *,
    noise: float = 0.5,
    draws: int = 4,
    seed: int = 0,
    placeholders: Placeholders | None = None,
    on_step: OnStep | None = None,
) -> None:
    """Run a model over a noised picture while recorders listen.

    Args:
        backbone: the model.
        latent: (1, C, h, w), without noise.
        text: says what the picture shows.
        recorders: what listens; each keeps what its own selection asks for.
        noise: share of noise in the picture, 0..1.
        draws: passes, each with other noise.
        seed: of the noise.
        placeholders: learnt tokens that the text names.
        on_step: called after every pass with the finished and the total number; what it raises ends the run.
    """
    schedule, generator = backbone.schedule, torch.Generator().manual_seed(seed)
    conditioning = backbone.encode_text([text], placeholders)
    timestep = timestep_of_noise(schedule, noise).to(latent.device)
    with ExitStack() as stack:
        for recorder in recorders:
            stack.enter_context(recorder.recording(backbone))
        for done in range(1, draws + 1):
            drawn = torch.randn(latent.shape, generator=generator).to(latent)
            backbone.predict_noise(schedule.add_noise(latent, drawn, timestep), timestep, conditioning)
            if on_step is not None:
                on_step(done, draws)
