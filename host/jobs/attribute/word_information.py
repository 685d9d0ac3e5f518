"""Information of words for people: maps in the picture's size, and sentences with nats."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ....core.attention.resize import resize_maps
from ....core.attention.stretch import stretched
from ....core.attribute.information import InformationSettings, OnStep, pair_information, word_information
from ....core.backbone import Backbone, Placeholders

TOGETHER = "two words together"
SHOWS = ("in the text", "alone", TOGETHER)
"""What is shown of words."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found.

    Attributes:
        names: N names of maps.
        maps: (N, 1, H, W), each stretched to 0..1.
        nats: (N,) of the whole picture.
        texts: how many texts the model read at each level of noise.
        given: of two words together, names of what one adds if the other is known, to nats; else empty.
    """

    names: tuple[str, ...]
    maps: Tensor
    nats: tuple[float, ...]
    texts: int
    given: Mapping[str, float] = field(default_factory=dict)


def measured(
    backbone: Backbone,
    picture: Tensor,
    text: str,
    words: Sequence[str],
    show: str,
    settings: InformationSettings,
    seed: int,
    placeholders: Placeholders,
    on_step: OnStep | None,
) -> Measured:
    """Measure words of a text in a picture (1, 3, H, W); a word that is given twice is measured once.

    Raises ``ValueError`` for a number of words that ``show`` cannot show, and as
    :func:`~....core.attribute.information.word_information` does.
    """
    words = list(dict.fromkeys(words))
    if show == TOGETHER:
        if len(words) != 2:
            raise ValueError(
                f"{TOGETHER} needs exactly two different words, got {len(words)}: write them as cat, rocket"
            )
        first, second = words
    latent = backbone.encode_image(picture)
    how = {"seed": seed, "placeholders": placeholders, "on_step": on_step}
    given: dict[str, float] = {}
    if show == TOGETHER:
        pair = pair_information(backbone, latent, text, (first, second), settings, **how)  # type: ignore[arg-type]
        texts = 4  # with both words, with either, with none
        names: tuple[str, ...] = ("both", f"only {first}", f"only {second}", "only together")
        found = torch.stack([pair.redundancy, pair.unique_first, pair.unique_second, pair.synergy])
        given[f"{first} if {second} is known"] = float(pair.first_given_second.sum())
        given[f"{second} if {first} is known"] = float(pair.second_given_first.sum())
    else:
        alone = show == "alone"
        names, texts = tuple(words), len(words) + 1
        found = word_information(backbone, latent, text, words, settings, alone=alone, **how)  # type: ignore[arg-type]
    size = (picture.shape[-2], picture.shape[-1])
    maps = resize_maps(stretched(found.clamp_min(0)), size, "bilinear")[:, None]  # (N, 1, H, W)
    return Measured(names, maps.clamp(0, 1), tuple(float(one.sum()) for one in found), texts, given)


def read_by(found: Measured, settings: InformationSettings) -> str:
    """What was found, for people."""
    listed = _listed(zip(found.names, found.nats, strict=True))
    scale = "0 is a word that tells the model nothing about this picture; compare words with each other"
    cost = f"{found.texts * settings.draws} predictions: {settings.draws} levels of noise, {found.texts} texts at each"
    said = f"Information in nats, over {settings.draws} levels of noise; {scale}. {listed}.\nCost: {cost}."
    if found.given:
        how = "what a word adds if the other is known"
        said += f"\nConditional information ({how}): {_listed(found.given.items())}."
        if settings.estimator == "orthogonal":
            said += (
                "\nWith the estimator orthogonal, what the words give only together can be below 0, and its map can "
                "lie on other things; the parts of standard are right on average. Conditional information is measured "
                "by itself with either."
            )
        else:
            said += "\nWith the estimator standard, parts can be below 0 by chance; more draws bring them nearer to 0."
    return said


def _listed(entries: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name}: {nats:.1f}" for name, nats in entries)
