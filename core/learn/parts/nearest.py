"""A real word to start from: the one that explains what is inside a concept's mask best (ours).

The same noise is put on the picture for every word; the word with which the model finds it best inside the mask wins.
All concepts share the passes, which are forward only: every word is tried once, then the best of every concept again
at another noise level, and so on. (Ranking words by the attention they get in one long sentence costs a tenth, but
failed in a trial on the lab model.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from .examples import Example
from .losses import masked_denoising
from .nouns import NOUNS
from .prompts import placeholder, prompt_of

BATCH, CELLS = 16, 16 * 64 * 64
"""Texts that go through the model together at most, and cells of all their latents."""


@dataclass(frozen=True)
class WordSearch:
    """How words are tried.

    Attributes:
        candidates: words; those that are not one token of the model are passed over.
        timesteps: one for each round, shares of all. Where much noise is added, the errors hardly depend on the word:
            of the lab's known objects, 14 of 20 were found at 0.3 and 0.5, 10 at 0.5 and 0.7, and 1 at 0.7 and 0.85.
        kept: share of the words that a concept keeps from one round to the next, above 0 to 1.
    """

    candidates: tuple[str, ...] = NOUNS
    timesteps: tuple[float, ...] = (0.3, 0.5)
    kept: float = 0.2


def nearest_words(
    backbone: Backbone, example: Example, template: str, generator: torch.Generator, search: WordSearch | None = None
) -> tuple[str, ...]:
    """A word for each of the example's N concepts.

    Args:
        backbone: the model.
        example: the picture and the masks.
        template: the sentence, ``{}`` where a word goes.
        generator: of the noise.
        search: how words are tried.

    Raises ``ValueError`` when no candidate is one token of the model.
    """
    search = search or WordSearch()
    known = known_words(backbone, search.candidates)
    if not known:
        raise ValueError("none of the candidate words is one token of this model: give start words, or start from rare")
    names = tuple(known)
    placeholders = {placeholder(word): vectors for word, vectors in known.items()}
    errors = torch.zeros(len(example.masks), len(names))  # (N, W)
    left = torch.ones(errors.shape, dtype=torch.bool)  # (N, W), words still tried
    for share in search.timesteps:
        tried = [index for index in range(len(names)) if left[:, index].any()]
        texts = [prompt_of(names, [index], template).text for index in tried]
        errors[:, tried] += _errors(backbone, example, texts, placeholders, share, generator).cpu()
        errors = errors.masked_fill(~left, torch.inf)
        best = errors.topk(max(round(search.kept * int(left[0].sum())), 1), dim=1, largest=False).indices  # (N, kept)
        left = torch.zeros_like(left).scatter(1, best, True)  # (N, W)
    return tuple(names[index] for index in errors.argmin(1).tolist())


def known_words(backbone: Backbone, candidates: Sequence[str]) -> dict[str, Mapping[str, Tensor]]:
    """The candidates that are one token for every text encoder, and their vectors."""
    read = {word: backbone.word_vectors(word) for word in candidates}
    return {word: vectors for word, vectors in read.items() if all(len(rows) == 1 for rows in vectors.values())}


@torch.no_grad()
def _errors(
    backbone: Backbone,
    example: Example,
    texts: Sequence[str],
    placeholders: Placeholders,
    share: float,
    generator: torch.Generator,
) -> Tensor:
    """(N, W): by how much each text misses the noise inside each mask, relative to the mean of all texts."""
    latent = example.latent
    time = torch.tensor([int(share * (backbone.schedule.steps - 1))], device=latent.device)
    noise = torch.randn(latent.shape, generator=generator).to(latent)  # (1, C, h, w)
    noised = backbone.schedule.add_noise(latent, noise, time)
    losses, batch = [], max(min(BATCH, CELLS // latent[0, 0].numel()), 1)
    for at in range(0, len(texts), batch):
        conditioning = backbone.encode_text(texts[at : at + batch], placeholders)
        rows = len(conditioning.context)
        predicted = backbone.predict_noise(noised.expand(rows, -1, -1, -1), time.expand(rows), conditioning)
        wanted = noise.expand_as(predicted)
        losses.append(torch.stack([masked_denoising(wanted, predicted, mask[None]) for mask in example.masks]))
    errors = torch.cat(losses, 1)  # (N, W)
    return errors / errors.mean(1, keepdim=True)
