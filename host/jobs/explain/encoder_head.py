"""Scores of a picture encoder: how near its features come to something where states of its patches are changed."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ....core.evaluate.similarity import unit
from ....core.explain.activations import Activations
from ....core.explain.importance.head import Head
from ...shared.errors import UnsupportedModelError
from ..vision import check_vision, embeds_of, picture_features

Features = Callable[[int, Tensor], Tensor]
"""A picture's number and changes (n, h * w, D) of its activations, to unit features (n, E)."""

LAST = (
    "the states behind the last block do not enter the features of this CLIP_VISION; record penultimate, and find "
    "ingredients there"
)


def encoder_head(
    clip_vision: Any, activations: Activations, pictures: Tensor, text: str = "", features: Tensor | None = None
) -> Head:
    """How near the features of a picture are to those of a text, or to its own where none is given.

    Args:
        clip_vision: what recorded the activations.
        activations: of the pictures (P, 3, H, W).
        text: for the title; "" for the pictures' own features.
        features: (1, E) of the text, at unit length.

    Raises :class:`UnsupportedModelError` for encoders whose features cannot be computed from the recorded layer.
    """
    check_vision(clip_vision)
    changed, no_gradient = _changed_features(clip_vision, activations, pictures)
    own = None if features is not None else picture_features(clip_vision, pictures)  # (P, E)

    def score(picture: int, changes: Tensor) -> Tensor:
        found = changed(picture, changes)
        wanted = features if own is None else own[picture : picture + 1]
        assert wanted is not None
        return (found * wanted.clone()).sum(1)  # a copy: gradients pass what inference mode made

    if own is None:
        return Head(score, f'how well the picture fits "{text}"', no_gradient=no_gradient)
    still = "Without a text the score is at its top where nothing is taken out, so that its gradient says nothing."
    return Head(score, "how much of the picture's features stays", no_gradient=still)


def _changed_features(clip_vision: Any, activations: Activations, pictures: Tensor) -> tuple[Features, str]:
    site = activations.origin.site
    if callable(getattr(clip_vision, "activation_features", None)):
        return lambda picture, changes: _lab_features(clip_vision, activations, picture, changes), ""
    if site != "penultimate":
        raise UnsupportedModelError(LAST)
    block = last_block(clip_vision)

    @torch.no_grad()
    def of_comfyui(picture: int, changes: Tensor) -> Tensor:
        image = pictures[picture : picture + 1].movedim(1, -1).expand(len(changes), -1, -1, -1).contiguous()
        with _added(block, changes):
            return unit(embeds_of(clip_vision.encode_image(image, crop=False), len(image)))

    return of_comfyui, "Gradients do not pass through this CLIP_VISION."


def _lab_features(clip_vision: Any, activations: Activations, picture: int, changes: Tensor) -> Tensor:
    states = (activations.rows[picture] + changes).mT.unflatten(-1, activations.grid)  # (n, D, h, w)
    features: Tensor = clip_vision.activation_features(states, activations.origin.site)
    return features


def last_block(clip_vision: Any) -> Any:
    """The last block of ComfyUI's picture encoder, which reads the penultimate states."""
    model = clip_vision.model
    encoder = getattr(getattr(model, "vision_model", model), "encoder", None)
    blocks = getattr(encoder, "layers", None) or getattr(encoder, "layer", None)
    if not blocks:
        raise UnsupportedModelError(
            "the blocks of this CLIP_VISION are not known, so that nothing can be changed in them; use a CLIP or "
            "DINOv2 vision model, or Load Lab CLIP Vision"
        )
    return blocks[-1]


@contextmanager
def _added(block: Any, changes: Tensor) -> Any:
    """Within the context changes (n, h * w, D) are added to the states of the patches that a block reads; class and
    register tokens, which stand before them, stay."""

    def add(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        states = args[0].clone()  # (n, tokens, D)
        states[:, -changes.shape[1] :] += changes.to(states)
        return (states, *args[1:])

    hook = block.register_forward_pre_hook(add)
    try:
        yield
    finally:
        hook.remove()
