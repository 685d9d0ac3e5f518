"""A pass of the model for each concept, whose attention outputs are put into the prompt's own pass.

Concept Conductor (Yao et al., arXiv 2408.03632), multi-path sampling and concept injection: the branch of a concept
reads the prompt with every concept in it replaced by its own, at the same latent; in the layers of the decoder its
outputs of self- and cross-attention take the place of the prompt's inside its mask,
``h <- h + M_i (h_i - h)`` for one concept after the other. The outputs are mixed before the projection behind the
heads: since that is linear in each cell, the mix behind it is the same.

Transformers have no decoder, and text and picture share their attention: the blocks of the second half stand for it,
and of a branch's output the rows of the picture alone are taken. In the prompt's own pass rows of the picture read the
prompt and each other, not the texts of the branches beside it. None of this is the paper's, which knows UNets only.
"""

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...attention.probabilities import attend, head_mean
from ...attention.resize import area_mean
from ...attention.selection import Grid
from ...backbone import (
    AttentionCall,
    AttentionEdit,
    AttentionInputs,
    AttentionSite,
    Backbone,
    Conditioning,
    EditedOutput,
)
from ..composition import Composition, Region
from .adapters import concerns, under
from .layers import LayerInputs, made_of
from .regional import Shares, joint_bias
from .steering import beside


def text_of(composition: Composition, region: Region, like: Tensor) -> Conditioning:
    """The conditioning of a region's text alone, a row for each of the latents ``like`` (B, C, h, w)."""
    own = composition.own(region)
    return beside(replace(own, extras={**composition.conditioning.extras, **own.extras}), like)


def injected(backbone: Backbone) -> frozenset[str]:
    """The layers of which branches give the output: those of a UNet's decoder, of a transformer the second half."""
    sites = backbone.attention_sites()
    joint = [site for site in sites if site.kind == "joint"]
    return frozenset(site.name for site in (joint[len(joint) // 2 :] or [one for one in sites if one.stage == "up"]))


def branch_edit(
    region: Region, outputs: dict[str, EditedOutput] | None = None, names: Set[str] = frozenset()
) -> AttentionEdit:
    """The edit of attention in the pass of a concept: all layers compute with its own LoRA.

    Args:
        region: the concept.
        outputs: filled with the output of each of the layers that are kept, by name; None keeps none.
        names: of these layers (:func:`injected`).
    """

    def edit(inputs: AttentionInputs) -> EditedOutput | None:
        name = inputs.call.site.name
        keeps = outputs is not None and name in names
        if not (keeps or concerns(region.adapter, name)):
            return None
        output = under(inputs, region.adapter, inputs.call.bias)
        if outputs is not None and keeps:
            columns = inputs.call.columns
            outputs[name] = output if columns is None else EditedOutput(output.heads[:, :, columns])
        return output

    return edit


@dataclass(eq=False)
class Branches:
    """The passes of the concepts beside one pass of the prompt.

    Attributes:
        composition: the prompt and its concepts.
        outputs: of each concept that was run, by its number: its outputs by layer.
        running: whether a concept's pass is running, in which the prompt's own edit has nothing to do.
        concept: which one; None for none of them.
    """

    composition: Composition
    outputs: dict[int, Mapping[str, EditedOutput]] = field(default_factory=dict)
    running: bool = False
    concept: Region | None = None

    @property
    def regions(self) -> dict[int, Region]:
        """The concepts that have a pass of their own, by number. A style has none: it is part of the text of all."""
        return {number: self.composition.regions[number] for number in self.composition.things}

    def run(
        self,
        backbone: Backbone,
        latent: Tensor,
        timestep: Tensor,
        share: float,
        reads: AttentionSite | None,
        cells: int,
    ) -> dict[int, Tensor]:
        """Run the branch of every concept that counts at a share of denoising, and keep its outputs.

        Returns of each the self-attention (B, n, n) of the layer ``reads``, of at most so many cells
        (:func:`picture_attention`); nothing where that is None.
        """
        self.outputs, maps, names = {}, {}, injected(backbone)
        for number, region in self.regions.items():
            if not region.counts(share):
                continue
            outputs: dict[str, EditedOutput] = {}
            kept = branch_edit(region, outputs, names)

            def edit(
                inputs: AttentionInputs, number: int = number, kept: AttentionEdit = kept
            ) -> Tensor | EditedOutput | None:
                if reads is not None and inputs.call.site.name == reads.name:
                    maps[number] = picture_attention(inputs.call, cells)
                return kept(inputs)

            with self.alone(region), backbone.edit_attention(edit):
                backbone.predict_noise(latent, timestep, text_of(self.composition, region, latent))
            self.outputs[number] = outputs
        return maps

    @contextmanager
    def alone(self, concept: Region | None = None) -> Iterator[None]:
        """Within the context the prompt's own edit is not in force, and layers compute with the LoRA of a concept."""
        before = self.running, self.concept
        self.running, self.concept = True, concept
        try:
            yield
        finally:
            self.running, self.concept = before

    def layer(self, inputs: LayerInputs) -> Tensor | None:
        """What the LoRA of the concept whose pass runs adds to a layer beside attention."""
        change = None if self.concept is None else self.concept.layers.get(inputs.name)
        return None if change is None else made_of(inputs, change)

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
        elif call.site.kind != "joint" and (masks is None or not ours):
            return None
        bias = self._of_prompt(inputs) if call.site.kind == "joint" else None
        output, behind = attend(call.query, call.key, value, call.scale, bias), None
        if masks is None:
            return EditedOutput(output)
        for number, own in ours.items():
            weight = min(self.composition.regions[number].counts(share), 1.0)  # 1 is all of the concept's own pass
            inside = (weight * masks[:, number].flatten(1)[:, :, None]).to(output)  # (1 or B, N, 1)
            if call.columns is not None:  # of the picture's rows alone
                rows = output[:, :, call.columns]
                output = output.clone()
                output[:, :, call.columns] = rows + inside[:, None] * (own.heads.to(rows) - rows)
                continue
            output = output + inside[:, None] * (own.heads.to(output) - output)
            behind = None if behind is None else behind * (1 - inside)
            if own.behind is not None:
                behind = inside * own.behind.to(output) + (0 if behind is None else behind)
        return EditedOutput(output, behind)

    def _of_prompt(self, inputs: AttentionInputs) -> Tensor:
        """The bias of a joint layer whose rows of the picture read the prompt alone, and each other."""
        grid, count = inputs.call.grid, len(self.composition.regions)
        nothing = torch.zeros(1, count, *grid, device=inputs.call.query.device)
        bias = joint_bias(inputs, self.composition, Shares(nothing[:, 0] + 1, nothing), nothing, 0.0)
        return bias if inputs.call.bias is None else bias + inputs.call.bias


def picture_attention(call: AttentionCall, cells: int) -> Tensor:
    """(B, n, n) attention of the picture's cells to each other, of rows that sum to one; of patches of cells where
    there would be more than ``cells`` (:func:`coarse_grid`)."""
    return pooled(_picture_attention(call), call.grid, coarse_grid(call.grid, cells))


def coarse_grid(grid: Grid, cells: int) -> Grid:
    """A grid over the same picture with at most so many cells, whose sides are a whole part of the given one's."""
    part = 1
    while -(-grid[0] // part) * -(-grid[1] // part) > max(cells, 1):
        part += 1
    return -(-grid[0] // part), -(-grid[1] // part)


def pooled(maps: Tensor, grid: Grid, coarse: Grid) -> Tensor:
    """Attention (B, n, n) between the cells of a grid as that between patches, (B, m, m): the mean over the cells that
    read, and the sum over those that are read."""
    if coarse == grid:
        return maps
    read = area_mean(maps.mT.unflatten(2, grid), coarse).flatten(2).mT  # (B, m, n)
    found = area_mean(read.unflatten(2, grid), coarse).flatten(2)  # (B, m, m)
    return found / found.sum(-1, keepdim=True).clamp_min(1e-12)


def _picture_attention(call: AttentionCall) -> Tensor:
    if call.columns is None:
        return head_mean(call.query, call.key, call.scale)
    of_text = call.query.shape[2] > call.grid[0] * call.grid[1]
    query = call.query[:, :, call.columns] if of_text else call.query
    bias = call.bias if call.bias is None or call.bias.shape[-2] in (1, query.shape[2]) else None
    maps = head_mean(query, call.key, call.scale, columns=call.columns, bias=bias)
    return maps / maps.sum(-1, keepdim=True).clamp_min(1e-12)


def decoder_sites(backbone: Backbone, latent_size: tuple[int, int], cells: int) -> tuple[AttentionSite, AttentionSite]:
    """The self-attention layers that layouts and shapes are read from: the first of the decoder, and its last one that
    has at most so many cells; of transformers two blocks. Raises ``ValueError`` for a model without a decoder's
    self-attention."""
    joint = [site for site in backbone.attention_sites() if site.kind == "joint"]
    if joint:  # all of one grid: layouts from the middle, shapes from the third quarter
        return joint[len(joint) // 2], joint[len(joint) * 3 // 4]
    there = [site for site in backbone.attention_sites() if site.kind == "self" and site.stage == "up"]
    if not there:
        raise ValueError("the model has no self-attention in a decoder; choose attention_couple, which needs none")
    fitting = [site for site in there if site.grid(latent_size)[0] * site.grid(latent_size)[1] <= cells]
    return there[0], fitting[-1] if fitting else max(there, key=lambda site: site.downscale)
