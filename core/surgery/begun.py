"""Pictures that a model begins to draw, at whose steps it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..backbone import Backbone, Conditioning
from ..compose.parts.steering import LatentStep
from ..sampling import ddim, with_rows
from ..settings import Settings, setting

OnPass = Callable[[int], None]
"""Called with how many pictures a model pass read."""


@dataclass(frozen=True)
class ScoutSettings(Settings):
    """How pictures are begun. Raises ``ValueError`` for values outside their range."""

    draws: int = setting(4, "Pictures that are begun to be drawn.", least=1, most=64)
    steps: int = setting(8, "Sampling steps of each, and noise levels that are read.", least=2, most=1000)
    guidance: float = setting(7.5, "Guidance of these pictures.", above=0)
    side: int = setting(512, "Side of these pictures in pixels.", least=8)
    template: str = setting("a photo of a {}", "Sentence that words are asked for in.")


PRESETS: Mapping[str, ScoutSettings] = {
    "paper": ScoutSettings(),
    "small": ScoutSettings(guidance=4.0, side=128),
}


def begin(
    backbone: Backbone,
    text: Conditioning,
    settings: ScoutSettings,
    seed: int,
    before: LatentStep,
    on_pass: OnPass = lambda pictures: None,
) -> None:
    """Draw ``settings.draws`` pictures of a text (one row), calling ``before`` ahead of each step."""
    cells = max(1, settings.side // backbone.latent_downscale)
    ddim(
        backbone,
        with_rows(text, settings.draws),
        backbone.encode_text([""]),
        (cells, cells),
        channels=backbone.latent_channels,
        steps=settings.steps,
        guidance=settings.guidance,
        seed=[(seed + number) % 2**63 for number in range(settings.draws)],
        on_step=lambda done, total: on_pass(2 * settings.draws),
        before=before,
    )
