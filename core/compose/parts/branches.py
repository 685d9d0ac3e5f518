"""A pass of the model for each concept, whose attention outputs are put into the prompt's own pass.

Concept Conductor (Yao et al., arXiv 2408.03632), multi-path sampling and concept injection: the branch of a concept
reads the prompt with every concept in it replaced by its own, at the same latent; in the layers of the decoder its
outputs of self- and cross-attention take the place of the prompt's inside its mask,
``h <- h + M_i (h_i - h)`` for one concept after the other. The outputs are mixed before the projection behind the
heads: since that is linear in each cell, the mix behind it is the same.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from torch import Tensor

from ...attention.probabilities import attend, head_mean
from ...backbone import AttentionEdit, AttentionInputs, AttentionSite, Backbone, Conditioning, EditedOutput
from ..composition import Composition, Region
from .adapters import concerns, under
from .steering import beside


def text_of(composition: Composition, region: Region, like: Tensor) -> Conditioning:
    """The conditioning of a region's text alone, a row for each of the latents ``like`` (B, C, h, w)."""
    given = composition.conditioning
    return beside(replace(given, context=given.context[:, region.columns]), like)


def branch_edit(region: Region, outputs: dict[str, EditedOutput] | None = None) -> AttentionEdit:
    """The edit of attention in the pass of a concept: all layers compute with its own LoRA.

    Args:
        region: the concept.
        outputs: filled with the output of each layer of the decoder, by name; None keeps none.
    """

    def edit(inputs: AttentionInputs) -> EditedOutput | None:
        name = inputs.call.site.name
        keeps = outputs is not None and inputs.call.site.stage == "up"
        if not (keeps or concerns(region.adapter, name)):
            return None
        output = under(inputs, region.adapter)
        if outputs is not None and keeps:
            outputs[name] = output
        return output

    return edit


@dataclass(eq=False)
class Branches:
    """The passes of the concepts beside one pass of the prompt.

    Attributes:
        composition: the prompt and its concepts.
        outputs: of each concept that was run, by its number: its outputs by layer.
        running: whether a concept's pass is running, in which the prompt's own edit has nothing to do.
    """

    composition: Composition
    outputs: dict[int, Mapping[str, EditedOutput]] = field(default_factory=dict)
    running: bool = False

    def run(
        self, backbone: Backbone, latent: Tensor, timestep: Tensor, share: float, reads: AttentionSite | None
    ) -> dict[int, Tensor]:
        """Run the branch of every concept that counts at a share of denoising, and keep its outputs.

        Returns of each the self-attention (B, n, n) of the layer ``reads``; nothing where that is None.
        """
        self.outputs, maps = {}, {}
        for number, region in enumerate(self.composition.regions):
            if not region.counts(share):
                continue
            outputs: dict[str, EditedOutput] = {}
            kept = branch_edit(region, outputs)

            def edit(
                inputs: AttentionInputs, number: int = number, kept: AttentionEdit = kept
            ) -> Tensor | EditedOutput | None:
                if reads is not None and inputs.call.site.name == reads.name:
                    maps[number] = head_mean(inputs.call.query, inputs.call.key, inputs.call.scale)
                return kept(inputs)

            with self.alone(), backbone.edit_attention(edit):
                backbone.predict_noise(latent, timestep, text_of(self.composition, region, latent))
            self.outputs[number] = outputs
        return maps

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within the context the prompt's own edit is not in force."""
        before, self.running = self.running, True
        try:
            yield
        finally:
            self.running = before

    def prompt_output(self, inputs: AttentionInputs, masks: Tensor | None, share: float) -> EditedOutput | None:
        """The output of a layer in the prompt's own pass; None leaves the layer's own.

        Args:
            inputs: of the layer.
            masks: (1 or B, R, h, w) on its grid; None while they are not known.
            share: of denoising.
        """
        call, value = inputs.call, inputs.value
        ours = {number: kept[call.site.name] for number, kept in self.outputs.items() if call.site.name in kept}
        if call.site.kind == "cross":
            base = self.composition.base
            call, value = replace(call, key=call.key[:, :, base]), value[:, :, base]
        elif masks is None or not ours:
            return None
        output, behind = attend(call.query, call.key, value, call.scale), None
        if masks is None:
            return EditedOutput(output)
        for number, own in ours.items():
            weight = self.composition.regions[number].counts(share)
            inside = (weight * masks[:, number].flatten(1)[:, :, None]).to(output)  # (1 or B, N, 1)
            output = output + inside[:, None] * (own.heads.to(output) - output)
            behind = None if behind is None else behind * (1 - inside)
            if own.behind is not None:
                behind = inside * own.behind.to(output) + (0 if behind is None else behind)
        return EditedOutput(output, behind)


def decoder_sites(backbone: Backbone, latent_size: tuple[int, int], cells: int) -> tuple[AttentionSite, AttentionSite]:
    """The self-attention layers that layouts and shapes are read from: the first of the decoder, and its last one that
    has at most so many cells. Raises ``ValueError`` for a model without a decoder's self-attention."""
    there = [site for site in backbone.attention_sites() if site.kind == "self" and site.stage == "up"]
    if not there:
        raise ValueError("the model has no self-attention in a decoder; choose attention_couple, which needs none")
    fitting = [site for site in there if site.grid(latent_size)[0] * site.grid(latent_size)[1] <= cells]
    return there[0], fitting[-1] if fitting else max(there, key=lambda site: site.downscale)
