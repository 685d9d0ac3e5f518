"""The model families that the pack supports: one record each, which adapters and messages read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


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
        learns: text encoders in whose tables tokens can be learnt; a CLIP with others is refused.
        tunes: how the attention weights are called whose changes can be learnt in ComfyUI: by diffusers' names in
            FLUX's layout or in Z-Image's, where a matrix of the checkpoint holds several of them, or by their ``own``
            names; empty where no changes are learnt.
        reads_files: whether ComfyUI's own tokenizer of the family reads ``embedding:name``.
        default_blocks: the blocks that are recorded unless others are asked for, as shares of the first list.
        noise: share of noise at which pictures are read unless another is asked for.
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
    learns: tuple[str, ...] = ()
    tunes: Literal["", "flux", "z_image", "own"] = ""
    reads_files: bool = True
    config: str | None = None
    patch: str = "patch_size"
    text_multiple: str | None = None
    strips_template: bool = False
    noise: float = 0.5  # ConceptAttention and Seg4Diff (arXiv 2509.18096) take a middle one; nothing else is published
    concepts: bool = False
    regions: bool = False
    text_blocks: tuple[int, str] | None = None


@dataclass(frozen=True)
class ModelFamily:
    """What distinguishes the models of one family.

    Attributes:
        name: the family's name in metadata and files, stable.
        title: what people call it.
        latent_channels: C of its latents (B, C, h, w); 0 where models of the family differ.
        latent_scale: factor from the autoencoder's latents to those that the denoiser reads.
        text_encoders: names of its text encoders, in the order in which their contexts are joined.
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


_UNETS = (
    ModelFamily("sd15", "Stable Diffusion 1.x", 4, 0.18215, ("clip_l",)),
    ModelFamily("sd2", "Stable Diffusion 2.x", 4, 0.18215, ("clip_h",)),
    ModelFamily("sdxl", "Stable Diffusion XL", 4, 0.13025, ("clip_l", "clip_g"), pooled_text=True),
    ModelFamily("lab", "the lab model", 4, 0.18215, ("clip_l",)),
)

_TEXT = "comfy.text_encoders."
_FLUX_BLOCKS = (("double_blocks", "double"), ("single_blocks", "single"))
_SECOND_HALF = (0.5, 1.0)  # ConceptAttention (arXiv 2502.04320) averages the last ten of FLUX.1's 19 double blocks


def _flow(
    name: str,
    title: str,
    encoders: tuple[str, ...],
    entry: tuple[str, ...],
    transformer: Transformer,
    pooled: tuple[str, ...] = (),
    cell: int = 8,
) -> ModelFamily:
    kinds = ("self", "cross") if name == "anima" else ("joint",)
    return ModelFamily(name, title, 0, 1.0, encoders, entry, pooled, kinds, transformer=transformer, cell=cell)


_TRANSFORMERS = (
    ModelFamily(
        "lab_flux",
        "the lab transformer",
        4,
        0.18215,
        ("clip_l",),
        ("txt_in",),
        attention=("joint",),
        transformer=Transformer(
            "",
            _FLUX_BLOCKS,
            "num_heads",
            (),
            ("l",),
            (0.0, 1.0),
            learns=("clip_l",),
            tunes="flux",
            concepts=True,
            regions=True,
        ),  # told by its mark
    ),
    _flow(
        "flux",
        "FLUX.1",
        ("clip_l", "t5xxl"),
        ("txt_in",),
        Transformer(
            "Flux",
            _FLUX_BLOCKS,
            "num_heads",
            (_TEXT + "flux:FluxClipModel",),
            ("t5xxl",),
            _SECOND_HALF,
            concepts=True,
            regions=True,
            learns=("clip_l", "t5xxl"),
            tunes="flux",
        ),
        pooled=("vector_in.in_layer",),
    ),
    _flow(
        "flux2",
        "FLUX.2",
        ("mistral3_24b", "qwen3_4b", "qwen3_8b"),
        ("txt_in",),
        Transformer(
            "Flux2",
            _FLUX_BLOCKS,
            "num_heads",
            (_TEXT + "flux:Flux2TEModel",),
            ("mistral3_24b", "qwen3_4b", "qwen3_8b"),
            _SECOND_HALF,
            concepts=True,
            regions=True,
            learns=("qwen3_4b", "qwen3_8b"),
            tunes="flux",
        ),
        cell=16,
    ),
    _flow(
        "chroma",
        "Chroma",
        ("t5xxl",),
        ("txt_in",),
        Transformer(
            "Chroma",
            _FLUX_BLOCKS,
            "num_heads",
            (_TEXT + "pixart_t5:PixArtT5XXL",),
            ("t5xxl",),
            _SECOND_HALF,
            concepts=True,
            regions=True,
            learns=("t5xxl",),
            tunes="flux",
        ),
    ),
    _flow(
        "z_image",
        "Z-Image",
        ("qwen3_4b",),
        ("cap_embedder.1",),
        Transformer(
            "Lumina2",
            (("layers", "double"),),
            "attention.n_local_heads",
            (_TEXT + "z_image:ZImageTEModel",),
            ("qwen3_4b",),
            config="ZImage",
            text_multiple="pad_tokens_multiple",
            learns=("qwen3_4b",),
            tunes="z_image",
            regions=True,
            text_blocks=(0, "context_refiner"),
        ),
    ),
    _flow(
        "lumina2",
        "Lumina 2",
        ("gemma2_2b",),
        ("cap_embedder.1",),
        Transformer(
            "Lumina2",
            (("layers", "double"),),
            "attention.n_local_heads",
            (_TEXT + "lumina2:LuminaModel",),
            ("gemma2_2b",),
            config="Lumina2",
            text_multiple="pad_tokens_multiple",
            regions=True,
            text_blocks=(0, "context_refiner"),
        ),
    ),
    _flow(
        "krea2",
        "Krea 2",
        ("qwen3vl_4b",),
        ("txtmlp.1",),
        Transformer(
            "Krea2",
            (("blocks", "single"),),
            "attn.heads",
            (_TEXT + "krea2:Krea2TEModel",),
            ("qwen3vl_4b",),
            patch="patch",
            strips_template=True,
            concepts=True,
            learns=("qwen3vl_4b",),
            tunes="own",
            regions=True,
            text_blocks=(2, "txtfusion.refiner_blocks"),  # behind two over the layers of the language model
        ),
    ),
    _flow(
        "qwen_image",
        "Qwen-Image",
        ("qwen25_7b",),
        ("txt_in",),
        Transformer(
            "QwenImage",
            (("transformer_blocks", "double"),),
            "attn.heads",
            (_TEXT + "qwen_image:QwenImageTEModel",),
            ("qwen25_7b",),
            strips_template=True,
            learns=("qwen25_7b",),
            tunes="own",
            reads_files=False,
            regions=True,
        ),
    ),
    _flow(
        "anima",
        "Anima",
        ("qwen3_06b", "t5xxl"),
        ("cross_attn.k_proj", "cross_attn.v_proj"),
        Transformer(
            "Anima",
            (("blocks", ""),),
            "self_attn.n_heads",
            (_TEXT + "anima:AnimaTEModel",),
            ("t5xxl",),
            patch="patch_spatial",
        ),
    ),
    _flow(
        "sd3",
        "Stable Diffusion 3",
        ("clip_l", "clip_g", "t5xxl"),
        (),  # a word has rows of two encoders, and no erasing was tried on them
        Transformer(
            "SD3",
            (("joint_blocks", ""),),
            "x_block.attn.num_heads",
            (_TEXT + "sd3_clip:SD3ClipModel",),
            ("l", "t5xxl"),
            (1 / 3, 0.46),  # Seg4Diff (arXiv 2509.18096) reads block 9 of 24
            concepts=True,
            regions=True,
        ),
    ),
)

FAMILIES: Mapping[str, ModelFamily] = MappingProxyType({family.name: family for family in (*_UNETS, *_TRANSFORMERS)})
"""Family name to its record."""


def supported() -> str:
    """``supported are Stable Diffusion 1.x, ... and the lab model``, for messages."""
    return f"supported are {_titles(FAMILIES.values())}"


def supported_erasing() -> str:
    """The same of the families whose text entry can be edited."""
    return f"supported are {_titles(family for family in FAMILIES.values() if family.text_entry)}"


def supported_learning() -> str:
    """The same of the families whose text encoders read learnt tokens."""
    able = [one for one in FAMILIES.values() if one.transformer is None or one.transformer.learns]
    return f"supported are {_titles(able)}"


def supported_tuning() -> str:
    """The same of the families of which changes can be learnt."""
    return f"supported are {_titles(one for one in FAMILIES.values() if not one.transformer or one.transformer.tunes)}"


def no_concepts(family: str) -> str:
    """That concepts cannot run beside the text of a family, and beside whose they can."""
    able = [one for one in _TRANSFORMERS if one.transformer is not None and one.transformer.concepts]
    return (
        f"concepts cannot run beside the text of {FAMILIES[family].title}: its text does not go through the blocks of "
        f"the picture, or nothing is published for it; supported are {_titles(able)}"
    )


def _titles(families: Iterable[ModelFamily]) -> str:
    *first, last = (family.title for family in families)
    return f"{', '.join(first)} and {last}"
