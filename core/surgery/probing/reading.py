"""What text encoders and denoisers compute for prompts with a concept and without, place by place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs, Backbone, Conditioning, TextTooLongError
from ...sampling import ddim
from ...settings import Settings, setting
from ..traces.reading import layers_read, rows_of_texts
from .curves import CLOSE, ProbeCurve, probe_curve

BATCH = 8
"""Prompts that are read together."""


@dataclass(frozen=True)
class ProbeSettings(Settings):
    """How a model is probed. Raises ``ValueError`` for values outside their range."""

    pool: Literal["end", "mean"] = setting(
        "end", "What is read of a text: its end, as CLIP pools it, or the mean of its words."
    )
    shuffles: int = setting(100, "Shuffled labels that places are compared with.", least=20, most=10000)
    steps: int = setting(8, "Sampling steps, and noise levels that the denoiser is read at.", least=2, most=1000)
    guidance: float = setting(7.5, "Guidance of the pictures that are begun.", above=0)
    side: int = setting(512, "Side of these pictures in pixels.", least=8)


PRESETS: Mapping[str, ProbeSettings] = {
    "paper": ProbeSettings(),
    "small": ProbeSettings(guidance=4.0, side=128),
}


@dataclass(frozen=True, eq=False)
class TextProbe:
    """What a text encoder knows.

    Attributes:
        curves: text encoder to its layers; ``tokens`` stands before the first.
        words: AUROC of a bag of tokens.
        read: text encoder to how many of its layers the model reads.
    """

    curves: Mapping[str, ProbeCurve]
    words: float
    read: Mapping[str, int]

    def clip_skip(self, encoder: str) -> int | None:
        """The ``stop_at_clip_layer`` at which the model would know the concept as well as it can; None if it does as
        it is, and if no layer that it could read knows it."""
        curve, read = self.curves[encoder], self.read[encoder]
        if curve.onset is None or curve.converged is None or curve.converged > read:
            return None
        if float(curve.auroc[read]) >= float(curve.auroc.max()) - CLOSE:
            return None
        return curve.converged - len(curve.places) if curve.converged else None


def probe_text(
    backbone: Backbone,
    prompts: Sequence[str],
    present: Tensor,
    settings: ProbeSettings,
    seed: int,
    on_texts: Callable[[int], None] = lambda count: None,
) -> TextProbe:
    """Probe every layer of the CLIP text encoders.

    Args:
        backbone: of the text encoders.
        prompts: P of them.
        present: (P,) bool, which have the concept.
        settings: how.
        seed: of shuffles.
        on_texts: called with how many texts each pass encodes.

    Raises ``ValueError`` for a model without CLIP text encoders, and for too few prompts.
    """
    found: dict[str, list[list[Tensor]]] = {}
    for first in range(0, len(prompts), BATCH):
        texts = list(prompts[first : first + BATCH])
        for group in _of_one_length(backbone, texts):
            for encoder, states in _states(backbone, group, settings.pool).items():
                found.setdefault(encoder, []).append(states)
        on_texts(len(texts))
    curves = {}
    for encoder, parts in found.items():
        features = [torch.cat(of_layer) for of_layer in zip(*parts, strict=True)]  # (P, d) each
        places = ["tokens", *(f"layer {number}" for number in range(1, len(features)))]
        curves[encoder] = probe_curve(places, features, present, settings.shuffles, seed)
    words = probe_curve(["words"], [bag_of_tokens(backbone, prompts)], present, 0, seed)
    return TextProbe(curves, float(words.auroc[0]), layers_read(backbone))


def _of_one_length(backbone: Backbone, texts: list[str]) -> list[list[str]]:
    """Texts that the text encoder reads in one pass, in order: all, or each where they differ in length."""
    lengths = {backbone.tokenize(text).length for text in texts}
    return [texts] if len(lengths) == 1 else [[text] for text in texts]


@torch.no_grad()
def _states(backbone: Backbone, texts: Sequence[str], pool: str) -> dict[str, list[Tensor]]:
    """Text encoder to (B, d) of its token table and of every layer."""
    read = [backbone.tokenize(text) for text in texts]
    with backbone.text_layers() as layers:
        length = backbone.encode_text(texts).context.shape[1]
    found: dict[str, list[Tensor]] = {}
    for encoder, of in layers.items():
        for state in of.states:
            rows = rows_of_texts(state, len(texts), length)  # (B, L, d)
            places = [
                [token.position for token in text.tokens] if pool == "mean" and text.tokens else [text.end]
                for text in read
            ]
            pooled = [row[at].mean(0) for row, at in zip(rows, places, strict=True)]
            found.setdefault(encoder, []).append(torch.stack(pooled))
    return found


def bag_of_tokens(backbone: Backbone, prompts: Sequence[str]) -> Tensor:
    """(P, V) how often each prompt has each of the V pieces of text that any of them has."""
    pieces = [[token.text for token in backbone.tokenize(prompt).tokens] for prompt in prompts]
    known = {piece: number for number, piece in enumerate(dict.fromkeys(sum(pieces, [])))}
    counts = torch.zeros(len(prompts), max(1, len(known)))
    for row, of in enumerate(pieces):
        for piece in of:
            counts[row, known[piece]] += 1
    return counts


@dataclass(frozen=True, eq=False)
class DenoiserProbe:
    """What a denoiser knows of pictures that it begins.

    Attributes:
        blocks: names of its layers where the picture reads itself, in the order they run.
        noise: share of noise of each level, from the noisiest.
        curve: of all layers at all levels, level by level.
    """

    blocks: tuple[str, ...]
    noise: tuple[float, ...]
    curve: ProbeCurve

    @property
    def grid(self) -> Tensor:
        """(levels, blocks) AUROC."""
        return self.curve.auroc.view(len(self.noise), len(self.blocks))


def probe_denoiser(
    backbone: Backbone,
    prompts: Sequence[str],
    present: Tensor,
    settings: ProbeSettings,
    seed: int,
    on_pass: Callable[[int], None] = lambda pictures: None,
) -> DenoiserProbe:
    """Begin a picture of every prompt and probe what the heads of each layer give where the picture reads itself, its
    mean over the picture, at every noise level.

    Arguments and errors as for :func:`probe_text`.
    """
    sites = [site for site in backbone.attention_sites() if site.reads("self")]
    cells = max(1, settings.side // backbone.latent_downscale)
    read: list[list[Tensor]] = []
    first = 0
    for texts in _together(backbone, prompts):
        rows: list[Tensor] = []
        count = len(texts.context)
        ddim(
            backbone,
            texts,
            backbone.encode_text([""]),
            (cells, cells),
            channels=backbone.latent_channels,
            steps=settings.steps,
            guidance=settings.guidance,
            seed=[(seed + first + number) % 2**63 for number in range(count)],
            on_step=partial(_count, on_pass, 2 * count),
            edit=_recorder(rows, {site.name for site in sites}),
        )
        read.append(rows)
        first += count
    features = [torch.cat(of_place) for of_place in zip(*read, strict=True)]  # (P, heads * d) each
    steps = torch.linspace(backbone.schedule.steps - 1, 0, settings.steps + 1)[:-1]
    times = steps.round().long()
    noise = tuple(
        backbone.schedule.add_noise(torch.zeros(len(times), 1), torch.ones(len(times), 1), times)[:, 0].tolist()
    )
    places = [f"{site.name} at noise {level:.2f}" for level in noise for site in sites]
    curve = probe_curve(places, features, present, settings.shuffles, seed)
    return DenoiserProbe(tuple(site.name for site in sites), noise, curve)


def _together(backbone: Backbone, prompts: Sequence[str]) -> Iterator[Conditioning]:
    """Conditionings of a few prompts each, in order; of one if their lengths differ."""
    for first in range(0, len(prompts), BATCH):
        texts = list(prompts[first : first + BATCH])
        try:
            yield backbone.encode_text(texts)
        except TextTooLongError:
            yield from (backbone.encode_text([text]) for text in texts)


def _count(on_pass: Callable[[int], None], pictures: int, done: int, total: int) -> None:
    on_pass(pictures)


def passes_of(prompts: int, denoiser: bool, settings: ProbeSettings) -> int:
    """Texts and pictures that are read."""
    return prompts * (1 + 2 * settings.steps * denoiser)


def _recorder(rows: list[Tensor], names: set[str]) -> Callable[[AttentionInputs], None]:
    """Keeps (B, heads * d) of each layer and step of the positive pass, and changes nothing."""

    def keep(inputs: AttentionInputs) -> None:
        call = inputs.call
        if inputs.conditional and call.site.name in names:
            given = attend(call.query, call.key, inputs.value, call.scale, call.bias)  # (B, heads, N, d)
            given = given if call.columns is None else given[:, :, call.columns]
            rows.append(given.mean(2).flatten(1).float().cpu())

    return keep
