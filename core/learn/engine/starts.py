"""How a training begins: the picture made ready, and vectors to start from."""

import json
from collections.abc import Sequence

import torch

from ..parts.examples import prepare_all
from ..parts.nearest import nearest_words
from ..parts.token_maps import choose_sites
from ..parts.tokens import start_bank
from .lesson import Lesson, begin
from .settings import LearnSettings
from .training import S, Task


def begin_lesson(
    task: Task[S],
    generator: torch.Generator,
    names: Sequence[str] | None = None,
    *,
    downscale: int | None = 4,
    least_side: int = 8,
    longest_grid: int = 16,
) -> tuple[Lesson, dict[str, str]]:
    """The lesson of a task, with a fresh bank of vectors, and notes for its metadata.

    Args:
        task: its settings say whether the picture is also mirrored, where vectors start and how many a token has.
        generator: of the starting vectors.
        names: what the tokens are called; token i starts from the word of concept i modulo N. None: the concepts.
        downscale, least_side: cross-attention layers to read, see :func:`.token_maps.choose_sites`.
        longest_grid: largest side of the grid they are compared on.

    Raises ``ValueError`` for input that cannot be learnt from and layers the model does not have.
    """
    settings: LearnSettings = task.settings
    names = names or task.concepts.names
    examples, mirrored = prepare_all(task.backbone, task.sources, settings.flip > 0)
    latent = examples[0].latent
    sites = choose_sites(task.backbone, (latent.shape[-2], latent.shape[-1]), downscale, least_side)
    words = {name: word for name, word in (task.words or {}).items() if word.strip()}
    if settings.start == "nearest":
        found = nearest_words(task.backbone, examples[0], settings.template, generator)
        words = dict(zip(task.concepts.names, found, strict=True)) | words
    bank = start_bank(
        task.backbone,
        names,
        start="average" if settings.start == "nearest" else settings.start,
        words={name: words[of] for name, of in zip(names, _owners(task, names), strict=True) if of in words},
        count=settings.vectors,
        generator=generator,
        device=latent.device,
    )
    lesson = begin(task.backbone, bank, examples, sites, longest_grid, mirrored)
    return lesson, {"start_words": json.dumps(words)}


def _owners(task: Task[S], names: Sequence[str]) -> list[str]:
    """The concept of each token."""
    return [task.concepts.names[index % len(task.concepts)] for index in range(len(names))]
