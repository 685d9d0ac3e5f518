"""The families whose denoiser is a transformer. A new one's record goes here."""

from .records import ModelFamily, Transformer

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


TRANSFORMERS = (
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
            tunes="flux",
            concepts=True,
            regions=True,
            lists=2,
            self_blocks=(5 / 6, 1.0),  # docs/transformer-results.md: the last block takes pictures apart best
            small=(("saliency_threshold", 1.2), ("min_area", 0.03)),
        ),  # recognised by its mark
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
            reads_files=False,
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
            picture_template="llama_template_images",
            tunes="own",
            reads_files=False,
            regions=True,
        ),
    ),
    _flow(
        "anima",
        "Anima",
        ("qwen3_06b",),
        ("cross_attn.k_proj", "cross_attn.v_proj"),
        Transformer(
            "Anima",
            (("blocks", ""),),
            "self_attn.n_heads",
            (_TEXT + "anima:AnimaTEModel",),
            ("t5xxl",),
            patch="patch_spatial",
            unknown=(("t5xxl", 2),),  # T5's <unk>
            tunes="own",
        ),
    ),
    _flow(
        "sd3",
        "Stable Diffusion 3",
        ("clip_l", "clip_g", "t5xxl"),
        ("context_embedder",),
        Transformer(
            "SD3",
            (("joint_blocks", ""),),
            "x_block.attn.num_heads",
            (_TEXT + "sd3_clip:SD3ClipModel",),
            ("l", "t5xxl"),
            (1 / 3, 0.46),  # Seg4Diff (arXiv 2509.18096) reads block 9 of 24
            concepts=True,
            regions=True,
            tunes="sd3",
        ),
        pooled=("y_embedder.mlp.0",),
    ),
)
