"""Offsets of attention heads: few vectors that carry a concept (after LoFiT, Yin et al., NeurIPS 2024, arXiv
2406.01563, and inference-time intervention, Li et al., NeurIPS 2023, arXiv 2306.03341).

With z_h the output of head h before the projection W_O, LoFiT chooses few heads and adds v_h to each, z_h <- z_h + v_h.
As v_h is constant, that adds W_O v to the bias of the projection, so that offsets are a weight patch. Without training,
v_h is the mean difference of z_h between prompts with and without the concept; heads are ranked by how far that
difference stands out of the spread over pictures, noise levels and matched prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs, Backbone
from ...messages import shown
from ...sampling import with_rows
from ..begun import OnPass, ScoutSettings, begin
from ..skill import TEXT, Skill
from ..sparse import SparseChange
from ..traces.reading import OnTexts, WordReader, matched

STANDARD_DEVIATIONS = "standard deviations of the matched words"


@dataclass(frozen=True, eq=False)
class HeadOffsets:
    """What each head of some layers gives more of for a concept.

    Attributes:
        concept: the word.
        offsets: name of the projection after the heads, as skills name it, to (heads, d).
        scores: the same to (heads,), by which heads are ranked.
        family: of the model.
        unit: what scores are counted in.
    """

    concept: str
    offsets: Mapping[str, Tensor]
    scores: Mapping[str, Tensor]
    family: str
    unit: str = STANDARD_DEVIATIONS

    @property
    def of_text(self) -> bool:
        """Whether heads of text encoders are among them."""
        return any(name.startswith(TEXT) for name in self.offsets)

    def best(self, count: int) -> list[tuple[str, int]]:
        """The heads that respond to the concept most, (layer, head), first the best."""
        every = [(float(score), name, head) for name, of in self.scores.items() for head, score in enumerate(of)]
        every.sort(key=lambda one: -one[0])
        return [(name, head) for _, name, head in every[:count]]

    def numbers(self, count: int) -> int:
        """How many parameters this many heads have."""
        return sum(self.offsets[name].shape[1] for name, _ in self.best(count))


def scout_denoiser(
    backbone: Backbone,
    concept: str,
    others: Sequence[str],
    settings: ScoutSettings,
    seed: int,
    on_pass: OnPass = lambda pictures: None,
) -> HeadOffsets:
    """Read the heads of cross-attention while pictures of the concept are begun, compared with matched words at
    the same noise.

    Raises ``ValueError`` for too few matched words and for a model without layers of cross-attention.
    """
    words = matched(concept, others)
    projections = projections_of(backbone)
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

    with torch.no_grad():
        begin(backbone, texts[0], settings, seed, read, on_pass)
    rows = {projections[name]: torch.cat(parts, dim=1) for name, parts in found.items()}  # (W, P, heads, d)
    return _offsets(concept, rows, backbone.family)


def scout_text(
    backbone: Backbone, concept: str, others: Sequence[str], on_texts: OnTexts = lambda count: None
) -> HeadOffsets:
    """Read the heads of CLIP text encoders for a concept compared with matched words: in a few sentences, at the word's
    last token, at the end of the text and after it. Layers that the model does not read are left out.

    Raises ``ValueError`` for too few matched words, and for a model without CLIP text encoders.
    """
    reader = WordReader(backbone, matched(concept, others), on_texts)
    rows = {name: given.flatten(1, 2) for name, given in reader.heads().items()}  # (W, T * R, heads, d)
    return _offsets(concept, rows, backbone.family)


def both(denoiser: HeadOffsets, text: HeadOffsets) -> HeadOffsets:
    """The heads of a denoiser and of its text encoders, ranked together."""
    return replace(denoiser, offsets={**denoiser.offsets, **text.offsets}, scores={**denoiser.scores, **text.scores})


def as_skill(offsets: HeadOffsets, count: int, strength: float, weights: Mapping[str, Tensor]) -> Skill:
    """The offsets of the best heads as changes of the biases after them: ``b + strength * W_O v``.

    Args:
        offsets: of a scout.
        count: how many heads; all of them if there are fewer.
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
            raise ValueError(
                f"the heads of {shown(projection)} are not in this model, or stored in 8 bits; scout the heads of this "
                "model, loaded in 16 bits"
            )
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


def projections_of(backbone: Backbone) -> dict[str, str]:
    """Site of cross-attention to the weight after its heads, which stands last of its four."""
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
