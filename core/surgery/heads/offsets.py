"""Offsets of attention heads: few vectors that carry a concept (after LoFiT, Yin et al., NeurIPS 2024, arXiv
2406.01563, and inference-time intervention, Li et al., NeurIPS 2023, arXiv 2306.03341).

With z_h the output of head h before the projection W_O, LoFiT chooses few heads and adds v_h to each, z_h <- z_h + v_h.
As v_h is constant, that adds W_O v to the bias of the projection, so that offsets are a weight patch. Without training,
v_h is the mean difference of z_h between prompts with and without the concept; heads are ranked by how far that
difference stands out of the spread over pictures, noise levels and matched prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs, Backbone
from ...messages import shown
from ...sampling import ddim, with_rows
from ...settings import Settings, setting
from ..skill import Skill
from ..sparse import SparseChange
from ..traces.reading import matched

OnPass = Callable[[int], None]


@dataclass(frozen=True)
class ScoutSettings(Settings):
    """How heads are read. Raises ``ValueError`` for values outside their range."""

    draws: int = setting(4, "Pictures that are begun to be drawn.", least=1, most=64)
    steps: int = setting(8, "Sampling steps of each, and noise levels that heads are read at.", least=2, most=1000)
    guidance: float = setting(7.5, "Guidance of these pictures.", above=0)
    side: int = setting(512, "Side of these pictures in pixels.", least=8)
    template: str = setting("a photo of a {}", "Sentence that words are asked for in.")


PRESETS: Mapping[str, ScoutSettings] = {
    "paper": ScoutSettings(),
    "small": ScoutSettings(guidance=4.0, side=128),
}


@dataclass(frozen=True, eq=False)
class HeadOffsets:
    """What each head of some layers gives more of for a concept.

    Attributes:
        concept: the word.
        offsets: name of the projection behind the heads to (heads, d).
        scores: the same to (heads,), how much more each head responds to the concept than to matched words, in
            standard deviations of these.
        family: of the model.
    """

    concept: str
    offsets: Mapping[str, Tensor]
    scores: Mapping[str, Tensor]
    family: str

    def best(self, count: int) -> list[tuple[str, int]]:
        """The heads that respond to the concept most, (layer, head), first the best."""
        every = [(float(score), name, head) for name, of in self.scores.items() for head, score in enumerate(of)]
        every.sort(key=lambda one: -one[0])
        return [(name, head) for _, name, head in every[:count]]

    def numbers(self, count: int) -> int:
        """How many numbers so many heads have."""
        return sum(self.offsets[name].shape[1] for name, _ in self.best(count))


def scout_denoiser(
    backbone: Backbone,
    concept: str,
    others: Sequence[str],
    settings: ScoutSettings,
    seed: int,
    on_pass: OnPass = lambda pictures: None,
) -> HeadOffsets:
    """Read the heads of cross-attention while pictures of the concept are begun, beside matched words at the same
    noise.

    Raises ``ValueError`` for too few matched words and for a model without layers of cross-attention.
    """
    words = matched(concept, others)
    projections = _projections(backbone)
    sites = [site for site in backbone.attention_sites() if site.name in projections]
    texts = [backbone.encode_text([settings.template.replace("{}", word)]) for word in words]
    found: dict[str, list[Tensor]] = {site.name: [] for site in sites}

    def read(model: Backbone, latent: Tensor, time: Tensor) -> Tensor:
        rows: dict[str, list[Tensor]] = {site.name: [] for site in sites}
        for text in texts:
            with model.edit_attention(_recorder(rows), sites):
                model.predict_target(latent, time, with_rows(text, len(latent)))
            on_pass(len(latent))
        for name, parts in rows.items():
            found[name].append(torch.stack(parts))  # (W, B, heads, d)
        return latent

    cells = max(1, settings.side // backbone.latent_downscale)
    with torch.no_grad():
        ddim(
            backbone,
            with_rows(texts[0], settings.draws),
            backbone.encode_text([""]),
            (cells, cells),
            channels=backbone.latent_channels,
            steps=settings.steps,
            guidance=settings.guidance,
            seed=[(seed + number) % 2**63 for number in range(settings.draws)],
            on_step=lambda done, total: on_pass(2 * settings.draws),
            before=read,
        )
    rows = {projections[name]: torch.cat(parts, dim=1) for name, parts in found.items()}  # (W, P, heads, d)
    return _offsets(concept, rows, backbone.family)


def as_skill(offsets: HeadOffsets, count: int, strength: float, weights: Mapping[str, Tensor]) -> Skill:
    """The offsets of the best heads as changes of the biases behind them: ``b + strength * W_O v``.

    Args:
        offsets: of a scout.
        count: how many heads; all of them where there are fewer.
        strength: multiplies the offsets.
        weights: of the model, by the names of skills.

    Raises ``ValueError`` for a model without these weights.
    """
    best, chosen = offsets.best(count), dict[str, list[int]]()
    for name, head in best:
        chosen.setdefault(name, []).append(head)
    changes, sizes = {}, {}
    for projection, heads in chosen.items():
        bias = f"{projection.removesuffix('.weight')}.bias"
        if projection not in weights or bias not in weights:
            raise ValueError(f"the heads of {shown(projection)} are not in this model; scout the heads of this one")
        kept = torch.zeros_like(offsets.offsets[projection])  # (heads, d)
        kept[heads] = offsets.offsets[projection][heads]
        moved = strength * weights[projection].detach().float().cpu() @ kept.flatten()  # (d_out,)
        index = torch.arange(len(moved), dtype=torch.int32)
        changes[bias], sizes[bias] = SparseChange(index, moved, (len(moved), 1)), len(moved)
    facts = {"method": "head offsets", "concept": offsets.concept, "heads": str(len(best)), "strength": str(strength)}
    return Skill(changes, sizes, offsets.family, "", facts)


def passes_of(words: int, settings: ScoutSettings) -> int:
    """Pictures that :func:`scout_denoiser` passes through the model."""
    return settings.draws * settings.steps * (words + 2)


def _recorder(rows: dict[str, list[Tensor]]) -> Callable[[AttentionInputs], Tensor | None]:
    """Keeps what each head gives, averaged over positions, and changes nothing."""

    def keep(inputs: AttentionInputs) -> None:
        call = inputs.call
        given = attend(call.query, call.key, inputs.value, call.scale, call.bias)  # (B, heads, N, d)
        rows[call.site.name].append(given.mean(2).float().cpu())

    return keep


def _projections(backbone: Backbone) -> dict[str, str]:
    """Site of cross-attention to the weight behind its heads, which stands last of its four."""
    sites, weights = backbone.attention_sites(), backbone.attention_weights()
    outs = [weight.name for weight in weights if weight.role == "out"]
    if len(outs) != len(sites) or not any(site.kind == "cross" for site in sites):
        raise ValueError(
            "this model has no layers of cross-attention whose heads are known (a transformer joins text and picture); "
            "connect a UNet: SD1.x, SD2.x, SDXL or the lab model"
        )
    return {site.name: name for site, name in zip(sites, outs, strict=True) if site.kind == "cross"}


def _offsets(concept: str, found: Mapping[str, Tensor], family: str) -> HeadOffsets:
    """From what heads give for W words at P places (W, P, heads, d): mean differences, and how far they stand out."""
    offsets, scores = {}, {}
    for name, rows in found.items():
        apart = rows[0] - rows[1:].mean(0)  # (P, heads, d)
        offset = apart.mean(0)  # (heads, d)
        along = offset / offset.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        said = (rows * along).sum(-1)  # (W, P, heads)
        spread = (said[1:] - said[1:].mean(0)).square().mean((0, 1)).sqrt()  # (heads,) of matched words at one place
        offsets[name], scores[name] = offset, (said[0] - said[1:].mean(0)).mean(0) / spread.clamp(min=1e-12)
    return HeadOffsets(concept, offsets, scores, family)
