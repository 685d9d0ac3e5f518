"""AttenCraft's masks as a localiser: the concepts that the words name.

"AttenCraft: Attention-guided Disentanglement of Multiple Concepts for Text-to-Image Customization",
arXiv 2405.17965. How masks come from attention is in :mod:`...masks.words`, which learning by AttenCraft uses as well.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...attention.words import only_reading, words_of
from ...backbone import Backbone
from ...masks.edit import NAME, check_name
from ...masks.from_masks import attention_targets
from ...masks.upsample import covered_size
from ...masks.words import PRESETS, WordMasks, WordSettings, masks_from_attention, read_word_attention
from ...messages import listed
from ...pictures import check_picture
from ...types import Concepts
from ..localizer import Localizer, LocalizeTask
from ..parts.stages import saliency_scores


def localize_words(
    backbone: Backbone, picture: Tensor, words: Sequence[str], settings: WordSettings | None = None, seed: int = 0
) -> Concepts:
    """The places of words in a picture, as concepts named by them (spaces become ``-``).

    Args:
        backbone: needs its picture encoder, text encoder and denoiser.
        picture: (1, 3, H, W) in 0..1.
        words: N words or phrases that differ, each for one thing there; a phrase counts as its strongest token. They
            are read as the backbone reads prompts, so that learnt tokens may stand there.
        settings: None takes the paper's.
        seed: random seed of noise levels and noise.

    Returns:
        N concepts in the order given, targets from self-attention, scores the mean relevance inside over the mean.

    Raises ``ValueError`` for no words, words that are alike or cannot name a concept, a model without the layers asked
    for, and words that get no cell whatever is tried, naming them.
    """
    settings = settings or WordSettings()
    check_picture(picture)
    names = _names(backbone, words)
    latent = backbone.encode_image(picture)
    found = find_words(backbone, latent, words, settings, torch.Generator().manual_seed(seed))
    masks = found.masks[:-1]
    scores = torch.stack([saliency_scores(m[None], r)[0] for m, r in zip(masks, found.relevance, strict=False)])
    size = (picture.shape[-2], picture.shape[-1])
    return Concepts(
        masks=masks,
        targets=attention_targets(masks, found.affinity),
        names=names,
        scores=scores,
        picture_size=size,
        notes=found.notes,
        covered=covered_size(size, backbone.latent_downscale),
        outline=settings.outline,
    )


@torch.no_grad()
def find_words(
    backbone: Backbone, latent: Tensor, words: Sequence[str], settings: WordSettings, generator: torch.Generator
) -> WordMasks:
    """Masks of words in a latent (1, C, h, w): new noise levels until each has a cell; raises as
    :func:`localize_words` does."""
    lost: tuple[str, ...] = ()
    for attempt in range(settings.tries):
        margin = settings.margin if attempt < (settings.tries + 1) // 2 else 0.0
        found = masks_from_attention(
            read_word_attention(backbone, latent, words, settings, generator), replace(settings, margin=margin)
        )
        if found.distinct:
            notes = (f"The words were found at try {attempt + 1}, with margin {margin:g}.",) if attempt else ()
            return replace(found, notes=notes)
        empty = [not bool(mask.any()) for mask in found.masks]
        lost = tuple(word for word, none in zip([*words, "the background"], empty, strict=True) if none)
    raise ValueError(
        f"no place was found for {listed(lost) or 'words that fall together'} in {settings.tries} passes: the model "
        "does not see it in this picture; use another word or other noise levels, or draw the mask"
    )


def _names(backbone: Backbone, words: Sequence[str]) -> tuple[str, ...]:
    names = tuple(_name(backbone, word) for word in words)
    if not names:
        raise ValueError("name at least one word to look for")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{listed(twice)}: named twice; a word cannot distinguish two of a kind")
    return names


def _name(backbone: Backbone, word: str) -> str:
    """A word as a concept's name; of a learnt token the last part of its name, of a weighted word the word."""
    name = "-".join(word.lower().split())
    if NAME.fullmatch(name):
        return name
    read = backbone.tokenize(word)
    learnt = {token.text for token in read.tokens if token.placeholder is not None}
    spelt = [NAME.findall(part)[-1] if part in learnt else part for part, _ in words_of(only_reading(read))]
    return check_name("-".join(spelt) if all(NAME.fullmatch(part) for part in spelt) else name)


def _find(task: LocalizeTask[WordSettings]) -> Concepts:
    return localize_words(task.backbone, task.picture, task.words, task.settings, task.seed)


METHOD = Localizer(
    name="attencraft",
    title="AttenCraft",
    help="Finds the things that words name, by what each word attends to and what hangs together.",
    presets=PRESETS,
    find=_find,
    needs=("words",),
    note="The start-of-text token stands for the background; in models without one, what no word reaches. A word "
    "cannot distinguish two things of one kind.",
)
"""Presets: ``paper`` for latents of about 64x64 cells, ``small`` for the lab model's 16x16."""
