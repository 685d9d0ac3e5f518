"""Pictures of learnt tokens, each alone and all together, for scoring them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.backbone import Backbone
from ....core.learn.parts.class_words import sentence
from ....core.learn.registry import written
from ....core.sampling import draw_each
from ....core.types import ConceptTokens
from ...files.images import to_pil
from ...shared.progress import Progress

SEEDS = 2**64


@dataclass(frozen=True)
class DrawSettings:
    """How pictures are drawn: DDIM, as ConceptExpress does it for its evaluation (arXiv 2407.07077).

    Attributes:
        draws: pictures of every prompt.
        steps: model passes a picture (the paper's release: 50).
        guidance: classifier-free guidance (7.5 there).
        template: the sentence, ``{}`` where the concepts go.
        seed: of the first picture of every prompt; the others follow, so that prompts share their noise.
        batch: pictures drawn at once; changes the memory needed, not the pictures.
    """

    draws: int = 8
    steps: int = 20
    guidance: float = 4.0
    template: str = "a photo of {}"
    seed: int = 0
    batch: int = 4

    def __post_init__(self) -> None:
        for name in ("draws", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def prompts_of(tokens: ConceptTokens, template: str) -> list[str]:
    """A prompt per concept, then one of all together; ``ValueError`` for no tokens, or a template without ``{}``."""
    if not tokens.names:
        raise ValueError("there are no tokens to draw; learn some first")
    words = [written(tokens, name) for name in tokens.names]
    return [sentence(part, template) for part in (*([word] for word in words), words)]


def draw_prompts(
    backbone: Backbone,
    tokens: ConceptTokens,
    prompts: Sequence[str],
    size: tuple[int, int],
    settings: DrawSettings,
    progress: Progress,
) -> Tensor:
    """Pictures (P, K, 3, H, W) in 0..1 of every prompt, on the CPU; the sides are cut to whole latent cells.

    What belongs to the tokens besides their vectors (``tokens.adapter``) has to be in force already. Errors as
    :meth:`~....core.backbone.Backbone.encode_text` raises them; ``progress`` may interrupt after any model pass.
    """
    seeds = [(settings.seed + index) % SEEDS for index in range(settings.draws)]
    jobs = [(prompt, seed) for prompt in prompts for seed in seeds]
    pictures = torch.cat(list(_drawn(backbone, tokens, jobs, size, settings, progress)))
    return pictures.unflatten(0, (len(prompts), settings.draws))


def _drawn(
    backbone: Backbone,
    tokens: ConceptTokens,
    jobs: Sequence[tuple[str, int]],
    size: tuple[int, int],
    settings: DrawSettings,
    progress: Progress,
) -> Iterator[Tensor]:
    cells = (max(1, size[0] // backbone.latent_downscale), max(1, size[1] // backbone.latent_downscale))
    placeholders = tokens.placeholders()
    total = -(-len(jobs) // settings.batch) * settings.steps
    for number, start in enumerate(range(0, len(jobs), settings.batch)):
        texts, seeds = zip(*jobs[start : start + settings.batch], strict=True)
        before = number * settings.steps
        latent = draw_each(
            backbone,
            texts,
            cells,
            placeholders,
            steps=settings.steps,
            guidance=settings.guidance,
            seed=list(seeds),
            on_step=lambda step, _, before=before: progress(before + step, total),  # type: ignore[misc]
        )
        pictures = backbone.decode_latent(latent).float().clamp(0, 1).cpu()
        progress(before + settings.steps, total, to_pil(torch.cat(list(pictures.movedim(1, -1)), dim=1)))
        yield pictures
