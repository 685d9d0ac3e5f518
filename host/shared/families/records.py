"""What distinguishes the model families: a record of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ....core.backbone import AttentionKind


@dataclass(frozen=True)
class Transformer:
    """How ComfyUI builds a family's diffusion transformer. Counts and widths are read from the model itself.

    Attributes:
        model: class in ``comfy.model_base`` that makes MODELs of this family.
        config: class in ``comfy.supported_models``, where several families share a model class.
        blocks: attribute of the denoiser that lists blocks, and the ``block_type`` that they run under; in order.
        heads: attribute path from a block to its number of heads.
        patch: attribute of the denoiser with the latent cells per token along a side.
        text_multiple: attribute with the number that text and picture rows are padded to a multiple of; None for none.
        text_model: classes of the text model of a CLIP, ``module:class``, any of which belongs to the family.
        tokens: keys in what ``clip.tokenize`` gives whose tokens are rows of the text, in the order they lie; those
            that a CLIP does not have are left out.
        strips_template: whether the text model leaves the template before the prompt out of the conditioning.
        picture_template: attribute of the tokenizer with the template in which it reads pictures before the prompt, for
            families with nodes that encode both; empty for none.
        unknown: keys in what ``clip.tokenize`` gives whose tokens the denoiser reads as numbers, without a text encoder
            that would take a learnt vector in their place, each with the number that stands there for every vector. It
            is the tokenizer's for characters that it does not know, whose meaning the denoiser has to take from another
            text encoder.
        tunes: how the attention weights are called whose changes can be learnt in ComfyUI: by diffusers' names in
            FLUX's layout, Z-Image's or SD3's, where a matrix of the checkpoint holds several of them, or by their
            ``own`` names; empty where no changes are learnt.
        reads_files: whether ComfyUI's own tokenizer of the family reads ``embedding:name``.
        default_blocks: the blocks that are recorded unless others are asked for, as shares of the first ``lists``.
        lists: see ``default_blocks``.
        self_blocks: the same where rows of the picture read each other, as shares of all lists; None for those of
            ``default_blocks``.
        noise: share of noise at which pictures are read unless another is asked for.
        small: values that the family has in Localize Concepts' preset ``small``. Those of the preset were chosen on the
            lab UNet: its threshold of saliency finds nearly nothing in most blocks of the lab transformer, and that of
            the lab transformer is the better guess for families of which nothing is measured.
        concepts: whether text runs through the blocks beside the picture, so that concepts can run beside both.
        regions: whether the rows of the conditioning are rows of the text, so that several texts can be kept to
            regions.
        text_blocks: blocks in which rows of the text attend to each other before the picture joins them: how many other
            attention calls run before, and the attribute path of the list; None for none.
    """

    model: str
    blocks: tuple[tuple[str, str], ...]
    heads: str
    text_model: tuple[str, ...]
    tokens: tuple[str, ...]
    default_blocks: tuple[float, float] = (0.25, 0.75)
    unknown: tuple[tuple[str, int], ...] = ()
    tunes: Literal["", "flux", "z_image", "sd3", "own"] = ""
    reads_files: bool = True
    config: str | None = None
    patch: str = "patch_size"
    text_multiple: str | None = None
    strips_template: bool = False
    picture_template: str = ""
    noise: float = 0.5  # ConceptAttention and Seg4Diff (arXiv 2509.18096) take a middle one; nothing else is published
    concepts: bool = False
    regions: bool = False
    text_blocks: tuple[int, str] | None = None
    lists: int = 1
    self_blocks: tuple[float, float] | None = None
    small: tuple[tuple[str, float], ...] = (("saliency_threshold", 1.2),)

    def read_blocks(self, counts: Sequence[int], view: AttentionKind = "cross") -> range:
        """The blocks that are read unless others are asked for, counted over all lists, which have ``counts``."""
        if view == "self" and self.self_blocks is not None:
            return _part(sum(counts), self.self_blocks)
        return _part(sum(counts[: self.lists]), self.default_blocks)


@dataclass(frozen=True)
class ModelFamily:
    """What distinguishes the models of one family.

    Attributes:
        name: the family's name in metadata and files, stable.
        title: what people call it.
        latent_channels: C of its latents (B, C, h, w); 0 where models of the family differ.
        latent_scale: factor from the autoencoder's latents to those that the denoiser reads.
        text_encoders: names of its text encoders, in whose tables tokens are learnt, in the order in which their
            contexts are joined.
        text_entry: the layers by which text enters the denoiser, as closed-form erasing changes them; of transformers
            in the layout of their checkpoints, and in each block where blocks read text by layers of their own.
        pooled_entry: the layers that read the pooled text, likewise.
        attention: the kinds of its attention sites.
        pooled_text: whether the denoiser also reads a pooled text and the picture's size.
        transformer: how its transformer is built; None for UNets.
        cell: pixels per latent cell along a side.
    """

    name: str
    title: str
    latent_channels: int
    latent_scale: float
    text_encoders: tuple[str, ...]
    text_entry: tuple[str, ...] = ("attn2.to_k", "attn2.to_v")
    pooled_entry: tuple[str, ...] = ()
    attention: tuple[str, ...] = ("self", "cross")
    pooled_text: bool = False
    transformer: Transformer | None = None
    cell: int = 8

    @property
    def reads_pooled(self) -> bool:
        """Whether the denoiser reads a pooled text."""
        return self.pooled_text or bool(self.pooled_entry)


def _part(count: int, shares: tuple[float, float]) -> range:
    """At least one of so many, from one share to another."""
    first = min(int(shares[0] * count), count - 1)
    return range(first, max(first + 1, round(shares[1] * count)))
