"""A plain deterministic sampler over a backbone, for previews and measurements; pictures are made with the host's."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .backbone import (
    AttentionEdit,
    AttentionInputs,
    Backbone,
    Conditioning,
    EditedOutput,
    Placeholders,
    TextTooLongError,
    UnequalTextsError,
)
from .compose.guiders import ClassifierFree
from .compose.parts.steering import LatentStep


def of_one_length(contexts: Sequence[Tensor]) -> list[Tensor]:
    """Contexts (B, L, D) repeated to their least common length, which changes no prediction: cross-attention over
    copies of the same keys adds up to that over one of them."""
    length = math.lcm(*(context.shape[1] for context in contexts))
    return [context.repeat(1, length // context.shape[1], 1) for context in contexts]


def encode_each(backbone: Backbone, texts: Sequence[str], placeholders: Placeholders | None = None) -> Conditioning:
    """Conditioning of texts, one row each, also where they differ in length (see :func:`of_one_length`).

    For models with cross-attention, and there for drawing only: attention that is recorded counts a repeated token in
    each of its copies. Pictures of several texts on any model: :func:`draw_each`.
    """
    try:
        return backbone.encode_text(list(texts), placeholders)
    except TextTooLongError:
        rows = [backbone.encode_text([text], placeholders) for text in texts]
    context = torch.cat(of_one_length([row.context for row in rows]))  # (B, L, D)
    return Conditioning(context, {key: torch.cat([row.extras[key] for row in rows]) for key in rows[0].extras})


TextPasses = list[tuple[list[int], Conditioning]]
"""Numbers of texts that share a pass through a model, and their conditioning, a row for each."""


def encode_for_passes(backbone: Backbone, texts: Sequence[str], placeholders: Placeholders | None = None) -> TextPasses:
    """Texts as they can go through a model.

    All share one pass (:func:`encode_each`), unless they differ in length and the model cannot bring them to one: then
    each has a pass of its own.
    """
    try:
        return [(list(range(len(texts))), backbone.encode_text(list(texts), placeholders))]
    except UnequalTextsError:
        return [([number], backbone.encode_text([text], placeholders)) for number, text in enumerate(texts)]
    except TextTooLongError:
        return [(list(range(len(texts))), encode_each(backbone, texts, placeholders))]


def stack(positive: Conditioning, negative: Conditioning) -> Conditioning:
    """Rows of the negative conditioning, then of the positive; one negative row serves all.

    Where their lengths differ, both are repeated, see :func:`of_one_length`.

    Raises:
        ValueError: when their widths or extras differ.
    """
    rows = len(positive.context)
    if negative.context.shape[2:] != positive.context.shape[2:] or set(negative.extras) != set(positive.extras):
        raise ValueError(
            f"conditionings do not fit: {tuple(positive.context.shape)} with {sorted(positive.extras)} and "
            f"{tuple(negative.context.shape)} with {sorted(negative.extras)}"
        )

    def joined(first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first.expand(rows, *first.shape[1:]), second])  # (2B, ...)

    extras = {key: joined(negative.extras[key], value) for key, value in positive.extras.items()}
    return Conditioning(joined(*of_one_length([negative.context, positive.context])), extras)


def with_rows(conditioning: Conditioning, rows: int, name: str = "CONDITIONING") -> Conditioning:
    """One row for each of ``rows`` latents: a single row is repeated, as many stay as they are."""
    for tensor in (conditioning.context, *conditioning.extras.values()):
        if tensor.ndim > 1 and len(tensor) not in (1, rows):
            raise ValueError(f"{name} has {len(tensor)} rows for {rows} latents; expected 1 or {rows}")
    return conditioning.of_rows(rows)


def starting_noise(shape: tuple[int, ...], seed: int | Sequence[int]) -> Tensor:
    """Unit normal noise (B, ...), of one seed for all or one a row; ``ValueError`` for another number of seeds."""
    if isinstance(seed, int):
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if len(seed) != shape[0]:
        raise ValueError(f"{len(seed)} seeds were given for {shape[0]} pictures")
    return torch.stack([torch.randn(shape[1:], generator=torch.Generator().manual_seed(own)) for own in seed])


def same_samples(own: Tensor | None, samples: Tensor) -> bool:
    """Whether what a sampler gave (kept on the CPU, None where it is not known) is these samples, of any precision and
    on any device."""
    return own is not None and own.shape == samples.shape and torch.equal(own.to(samples.dtype), samples.cpu())


def unconditional(edit: AttentionEdit) -> AttentionEdit:
    """The edit in a pass that does not read the positive conditioning."""

    def negative(inputs: AttentionInputs) -> Tensor | EditedOutput | None:
        rows = (False,) * len(inputs.call.query)
        return edit(replace(inputs, call=replace(inputs.call, conditional=rows)))

    return negative


Predict = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""A latent and its timesteps to what is predicted for the negative and for the positive conditioning."""


def _guided(backbone: Backbone, positive: Conditioning, negative: Conditioning, edit: AttentionEdit | None) -> Predict:
    """Both predictions, in one pass where both conditionings are of one length and attention is not edited.

    A transformer's softmax runs over text and picture together: there a text that is repeated counts for more.
    """
    one_pass = edit is None and not positive.one_text
    if one_pass and positive.context.shape[1:] == negative.context.shape[1:]:
        both = stack(positive, negative)

        def at_once(latent: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
            first, second = backbone.predict_noise(torch.cat([latent, latent]), torch.cat([time, time]), both).chunk(2)
            return first, second

        return at_once
    rows = len(positive.context)
    away = with_rows(negative, rows, "negative")

    def apart(latent: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with nullcontext() if edit is None else backbone.edit_attention(unconditional(edit)):
            other = backbone.predict_noise(latent, time, away)
        with nullcontext() if edit is None else backbone.edit_attention(edit):
            return other, backbone.predict_noise(latent, time, positive)

    return apart


@torch.no_grad()
def ddim(
    backbone: Backbone,
    positive: Conditioning,
    negative: Conditioning,
    latent_size: tuple[int, int],
    *,
    channels: int = 4,
    steps: int = 20,
    guidance: float = 4.0,
    seed: int | Sequence[int] = 0,
    on_step: Callable[[int, int], None] | None = None,
    edit: AttentionEdit | None = None,
    before: LatentStep | None = None,
    predict: Predict | None = None,
) -> Tensor:
    """Deterministic DDIM (Song et al., "Denoising Diffusion Implicit Models", ICLR 2021, eq. 12 with sigma = 0).

    Args:
        backbone: the model.
        positive: (B, L, D), one picture a row.
        negative: (1 or B, L, D), what guidance leads away from.
        latent_size: (h, w).
        channels: latent channels.
        steps: model passes, each with 2B rows.
        guidance: classifier-free guidance; 1 is none.
        seed: of the starting noise, drawn on the CPU; or one a row, so that a picture does not depend on its place.
        on_step: called after every model pass with the finished and the total number; what it raises stops the run.
        edit: of the attention; the negative and the positive conditioning then have passes of their own.
        before: moves the latent before each step.
        predict: in place of passes with both conditionings.

    Returns:
        (B, channels, h, w) scaled latents.
    """
    rows, device = len(positive.context), positive.context.device
    schedule, guider = backbone.schedule, ClassifierFree(guidance)
    latent = starting_noise((rows, channels, *latent_size), seed).to(device)  # (B, C, h, w)
    timesteps = torch.linspace(schedule.steps - 1, 0, steps + 1).round().long().tolist()
    predict = predict or _guided(backbone, positive, negative, edit)
    for step, (now, after) in enumerate(zip(timesteps, timesteps[1:], strict=False), 1):
        time = torch.full((rows,), now, device=device)  # (B,)
        latent = latent if before is None else before(backbone, latent, time)
        noise = guider.combine(*predict(latent, time))
        clean = schedule.clean_from_noise(noise, latent, time)  # (B, C, h, w)
        latent = schedule.add_noise(clean, noise, torch.full((rows,), after, device=device))
        if on_step is not None:
            on_step(step, steps)
    return latent


def draw_each(
    backbone: Backbone,
    texts: Sequence[str],
    latent_size: tuple[int, int],
    placeholders: Placeholders | None = None,
    *,
    seed: int | Sequence[int] = 0,
    on_step: Callable[[int, int], None] | None = None,
    **how: Any,
) -> Tensor:
    """A picture for each of B texts by :func:`ddim` away from the empty text; ``how`` are its other arguments.

    Texts whose conditionings differ in length are drawn one after the other, the n-th with ``seed + n`` where one seed
    is for all: a transformer reads a text that is repeated to a common length as another one.

    Returns:
        (B, C, h, w) scaled latents.
    """
    how |= {"channels": backbone.latent_channels}
    negative = backbone.encode_text([""])
    try:
        together = backbone.encode_text(list(texts), placeholders)
    except TextTooLongError:
        rows = [backbone.encode_text([text], placeholders) for text in texts]
    else:
        return ddim(backbone, together, negative, latent_size, seed=seed, on_step=on_step, **how)

    def at(number: int) -> Callable[[int, int], None] | None:
        if on_step is None:
            return None
        return lambda step, total: on_step((number * total + step) // len(rows), total)

    seeds = [(seed + number) % 2**64 for number in range(len(rows))] if isinstance(seed, int) else seed
    drawn = [
        ddim(backbone, row, negative, latent_size, seed=[own], on_step=at(number), **how)
        for number, (row, own) in enumerate(zip(rows, seeds, strict=True))
    ]
    return torch.cat(drawn)
