"""Diffusion transformers of ComfyUI's own classes, tiny and at random weights, as MODEL.

For tests inside ComfyUI: everything of ``comfy`` is imported when a model is built.
"""

from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch

DEEP = 3
"""Blocks of each kind in a small model."""


class Small(NamedTuple):
    """How a family's small model is built and fed.

    Attributes:
        config: class in ``comfy.supported_models``.
        settings: of the denoiser.
        channels: of its latents.
        width: of the conditioning that it reads.
        pooled: width of the pooled text; 0 for none.
        film: whether its latents are (B, C, 1, h, w).
    """

    config: str
    settings: dict[str, Any]
    channels: int
    width: int
    pooled: int = 0
    film: bool = False


_FLUX = {
    "image_model": "flux",
    "mlp_ratio": 1.0,
    "num_heads": 2,
    "depth": DEEP,
    "depth_single_blocks": DEEP,
    "theta": 10000,
    "qkv_bias": True,
}

SMALL = {
    "flux": Small(
        "Flux",
        _FLUX
        | {
            "in_channels": 16,
            "out_channels": 16,
            "vec_in_dim": 4,
            "context_in_dim": 8,
            "hidden_size": 16,
            "axes_dim": [2, 2, 4],
            "patch_size": 2,
            "guidance_embed": True,
            "txt_ids_dims": [],
        },
        16,
        8,
        pooled=4,
    ),
    "flux2": Small(
        "Flux2",
        _FLUX
        | {
            "image_model": "flux2",
            "in_channels": 128,
            "out_channels": 128,
            "vec_in_dim": None,
            "context_in_dim": 6,
            "hidden_size": 16,
            "axes_dim": [2, 2, 2, 2],
            "theta": 2000,
            "patch_size": 1,
            "mlp_ratio": 3,
            "global_modulation": True,
            "mlp_silu_act": True,
            "guidance_embed": True,
            "qkv_bias": False,
            "ops_bias": False,
            "txt_ids_dims": [3],
            "default_ref_method": "index",
            "ref_index_scale": 10,
        },
        128,
        6,
    ),
    "chroma": Small(
        "Chroma",
        _FLUX
        | {
            "image_model": "chroma",
            "in_channels": 64,
            "out_channels": 64,
            "context_in_dim": 8,
            "hidden_size": 16,
            "axes_dim": [2, 2, 4],
            "patch_size": 2,
            "in_dim": 64,
            "out_dim": 16,
            "hidden_dim": 8,
            "n_layers": 1,
            "txt_ids_dims": [],
            "vec_in_dim": None,
        },
        16,
        8,
    ),
    "z_image": Small(
        "ZImage",
        {
            "image_model": "lumina2",
            "patch_size": 2,
            "in_channels": 16,
            "dim": 256,
            "cap_feat_dim": 6,
            "n_layers": DEEP,
            "n_refiner_layers": 1,
            "n_heads": 2,
            "axes_dims": [32, 48, 48],
            "axes_lens": [64, 64, 64],
            "qk_norm": True,
            "z_image_modulation": True,
            "time_scale": 1000.0,
            "rope_theta": 256.0,
            "ffn_dim_multiplier": 0.5,
            "pad_tokens_multiple": 32,
        },
        16,
        6,
    ),
    "lumina2": Small(
        "Lumina2",
        {
            "image_model": "lumina2",
            "patch_size": 2,
            "in_channels": 16,
            "dim": 24,
            "cap_feat_dim": 6,
            "n_layers": DEEP,
            "n_refiner_layers": 1,
            "n_heads": 4,
            "n_kv_heads": 2,
            "axes_dims": [2, 2, 2],
            "axes_lens": [64, 64, 64],
            "multiple_of": 4,
            "qk_norm": True,
            "rope_theta": 10000.0,
            "ffn_dim_multiplier": 1.0,
        },
        16,
        6,
    ),
    "krea2": Small(
        "Krea2",
        {
            "image_model": "krea2",
            "features": 64,
            "tdim": 32,
            "txtdim": 8,
            "heads": 4,
            "kvheads": 2,
            "multiplier": 1,
            "layers": DEEP,
            "channels": 16,
            "txtlayers": 2,
            "txtheads": 2,
            "txtkvheads": 2,
            "default_ref_method": "index",
        },
        16,
        16,
        film=True,
    ),
    "qwen_image": Small(
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "num_layers": DEEP,
            "attention_head_dim": 6,
            "num_attention_heads": 2,
            "joint_attention_dim": 8,
            "axes_dims_rope": (2, 2, 2),
        },
        16,
        8,
        film=True,
    ),
    "anima": Small(
        "Anima",
        {
            "image_model": "anima",
            "max_img_h": 64,
            "max_img_w": 64,
            "max_frames": 8,
            "in_channels": 16,
            "out_channels": 16,
            "patch_spatial": 2,
            "patch_temporal": 1,
            "concat_padding_mask": True,
            "model_channels": 48,
            "num_blocks": DEEP,
            "num_heads": 2,
            "mlp_ratio": 1.0,
            "crossattn_emb_channels": 16,
            "pos_emb_cls": "rope3d",
            "use_adaln_lora": False,
            "extra_per_block_abs_pos_emb": False,
        },
        16,
        16,
        film=True,
    ),
    "sd3": Small(
        "SD3",
        {
            "in_channels": 16,
            "patch_size": 2,
            "pos_embed_scaling_factor": None,
            "pos_embed_max_size": 16,
            "num_patches": 256,
            "input_size": None,
            "depth": 2,
            "num_blocks": DEEP,
            "mlp_ratio": 1.0,
            "qk_norm": "rms",
            "adm_in_channels": 4,
            "x_block_self_attn_layers": [0],
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 4096, "out_features": 128},  # to which ComfyUI pads the rows of CLIP
            },
        },
        16,
        4096,
        pooled=4,
    ),
}


def here(family: str) -> bool:
    """Whether this ComfyUI knows the family."""
    import comfy.supported_models

    return hasattr(comfy.supported_models, SMALL[family].config)


def mistral_here() -> bool:
    """Whether this ComfyUI reads FLUX.2 dev's vocabulary by itself, whatever version transformers has."""
    import importlib.util

    return importlib.util.find_spec("comfy.text_encoders.bpe_tokenizer") is not None


def anima_has_no_gradient() -> bool:
    """Whether this ComfyUI computes Anima's queries and keys by a fused kernel also in training."""
    import inspect

    import comfy.ldm.cosmos.predict2 as cosmos

    return "rms_rope" in inspect.getsource(cosmos.Attention.compute_qkv)


def build(family: str, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A small MODEL of a family; ``changes`` are other sizes of its denoiser."""
    import comfy.model_management as mm
    import comfy.model_patcher
    import comfy.supported_models as supported

    small = SMALL[family]
    config = type("Small", (getattr(supported, small.config),), {})({**small.settings, **changes})
    config.set_inference_dtype(dtype, None)
    with _small_adapter():
        model = config.get_model({}, device=mm.get_torch_device())
    generator = torch.Generator().manual_seed(seed)
    model.diffusion_model.load_state_dict(
        {name: _drawn(name, old, generator) for name, old in model.diffusion_model.state_dict().items()}
    )
    return comfy.model_patcher.ModelPatcher(
        model, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device()
    )


def query_weight(model: Any) -> str:
    """A weight that makes queries in a block."""
    ends, elsewhere = ("qkv.weight", "wq.weight", "to_q.weight", "q_proj.weight"), ("refiner", "txtfusion", "adapter")
    return next(
        name
        for name, weight in model.model.state_dict().items()
        if weight.ndim == 2 and name.endswith(ends) and not any(part in name for part in elsewhere)
    )


def conditioning(family: str, rows: int = 7, seed: int = 1, batch: int = 1) -> list[Any]:
    """A random CONDITIONING of so many rows."""
    small, generator = SMALL[family], torch.Generator().manual_seed(seed)
    extras: dict[str, Any] = {"pooled_output": torch.randn(batch, small.pooled, generator=generator)}
    if not small.pooled:
        extras = {"pooled_output": None}
    if family == "anima":
        extras |= {"t5xxl_ids": torch.randint(3, 99, (rows + 2,), generator=generator)}
        extras |= {"t5xxl_weights": torch.ones(rows + 2)}
    return [[torch.randn(batch, rows, small.width, generator=generator), extras]]


DEV = "flux2_dev"
"""FLUX.2 dev is klein with another text model: the same denoiser here."""

SMALL[DEV] = SMALL["flux2"]

TEXT = {
    "flux": ("flux", "FluxTokenizer", "FluxClipModel", {"clip_l": 4, "t5xxl": 8}, 1),
    "flux2": ("flux", "KleinTokenizer", "Flux2TEModel", {"qwen3_4b": 2}, 3),
    "chroma": ("pixart_t5", "PixArtTokenizer", "PixArtT5XXL", {"t5xxl": 8}, 1),
    "z_image": ("z_image", "ZImageTokenizer", "ZImageTEModel", {"qwen3_4b": 6}, 1),
    "krea2": ("krea2", "Krea2Tokenizer", "Krea2TEModel", {"qwen3vl_4b": 8}, 2),
    "qwen_image": ("qwen_image", "QwenImageTokenizer", "QwenImageTEModel", {"qwen25_7b": 8}, 1),
    "anima": ("anima", "AnimaTokenizer", "AnimaTEModel", {"qwen3_06b": 16}, 1),
    "sd3": ("sd3_clip", "SD3Tokenizer", "SD3ClipModel", {"clip_l": 2, "clip_g": 2, "t5xxl": 4096}, 1),
    "lumina2": ("lumina2", "LuminaTokenizer", "LuminaModel", {"gemma2_2b": 6}, 1),
    DEV: ("flux", "Flux2Tokenizer", "Flux2TEModel", {"mistral3_24b": 2}, 3),
}
"""Family to module below ``comfy.text_encoders``, tokenizer, text model, its encoders' widths, layers that it reads."""

WORDS = "a red cat and two dogs on the green grass sit big thing square rocket photo of"
"""Of which the small vocabularies are made that checkpoints bring with them (Lumina 2, FLUX.2 dev)."""


def clip(family: str) -> Any:
    """A CLIP with the family's own tokenizers and text model, in which each encoder is a table of random rows."""
    import importlib

    import comfy.sd
    import comfy.supported_models_base as base

    module, reader, model, widths, layers = TEXT[family]
    source = importlib.import_module(f"comfy.text_encoders.{module}")
    stock = getattr(source, model)

    class Model(stock):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            torch.nn.Module.__init__(self)
            for name, width in widths.items():
                setattr(self, name, _Rows(width, layers, "attention" if layers > 1 else family))
            self.clip = self.clip_name = next(iter(widths))
            self.dtypes, self.t5_attention_mask = {torch.float32}, False

    target = base.ClipTarget(getattr(source, reader), Model)
    data = {"lumina2": _sentencepiece, DEV: _tekken}.get(family, dict)()
    return comfy.sd.CLIP(target, tokenizer_data=data, model_options={"dtype": torch.float32})


def _sentencepiece() -> dict[str, Any]:
    """A vocabulary of Gemma's kind: pieces of a few words, and bytes."""
    import io

    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS, *WORDS.split()] * 8),
        model_writer=made,
        vocab_size=360,
        hard_vocab_limit=False,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return {"spiece_model": made.getvalue()}


def _tekken() -> dict[str, Any]:
    """A vocabulary of Mistral's kind: every byte, and pieces that grow into a few words."""
    import base64
    import json

    named = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    named += [f"<unused{number}>" for number in range(len(named), 11)] + ["<pad>"]
    pieces = [bytes([number]) for number in range(256)]
    for word in WORDS.split():
        for end in range(2, len(word) + 2):
            pieces.append(f" {word}"[:end].encode())
    words = [base64.b64encode(piece).decode() for piece in dict.fromkeys(pieces)]
    content = {
        "config": {"default_vocab_size": len(named) + len(words), "default_num_special_tokens": len(named)},
        "vocab": [{"rank": rank, "token_bytes": word} for rank, word in enumerate(words)],
        "special_tokens": [{"rank": rank, "token_str": name} for rank, name in enumerate(named)],
    }
    return {"tekken_model": json.dumps(content).encode()}


_QWEN = {"num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 8}
_T5 = {"d_ff": 8, "d_kv": 4, "d_model": 8, "num_heads": 2, "num_layers": 2}
LEARNING: dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]] = {
    "flux": (
        {
            "clip_l": {"hidden_size": 4, "num_attention_heads": 1, "intermediate_size": 8, "num_hidden_layers": 2},
            "t5xxl": _T5,
        },
        {},
    ),
    "flux2": ({"qwen3_4b": _QWEN | {"hidden_size": 16, "num_hidden_layers": 28}}, {"context_in_dim": 48}),
    "chroma": ({"t5xxl": _T5}, {}),
    "z_image": ({"qwen3_4b": _QWEN | {"hidden_size": 6, "num_hidden_layers": 3}}, {}),
    "krea2": ({"qwen3vl_4b": _QWEN | {"hidden_size": 8, "num_hidden_layers": 36}}, {"txtlayers": 12}),
    "qwen_image": ({"qwen25_7b": _QWEN | {"hidden_size": 8, "num_hidden_layers": 2}}, {}),
}
"""Families whose text encoders read learnt tokens: their encoders' sizes, and sizes of the denoiser that fit them."""


def reading_clip(family: str, folders: Any = None) -> Any:
    """A CLIP of the family's own classes, tokenizers and whole vocabularies, tiny and at random weights."""
    import importlib

    import comfy.sd
    import comfy.supported_models_base as base

    module, reader, model, _, _ = TEXT[family]
    source = importlib.import_module(f"comfy.text_encoders.{module}")
    sizes = {f"{name}_model_config": dict(config) for name, config in LEARNING[family][0].items()}
    stock = getattr(source, model)
    inside = {"name": "qwen3_4b", "clip_model": source.Qwen3_4BModel} if family == "flux2" else {}

    class Model(stock):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            more = {"dtype_t5": dtype} if family == "flux" else {}
            super().__init__(
                device=device, dtype=dtype, model_options={**(model_options or {}), **sizes}, **more, **inside
            )

    with _no_eyes():
        target = base.ClipTarget(getattr(source, reader), Model)
        clip = comfy.sd.CLIP(target, embedding_directory=folders, model_options={"dtype": torch.float32})
    generator = torch.Generator().manual_seed(11)
    state = clip.cond_stage_model.state_dict()
    # A third of the usual size: so many layers at so little width would tell nothing apart by finite differences.
    drawn = {name: _drawn(name, old, generator) for name, old in state.items()}
    small_layers = {name: one / 3 if "layers" in name and one.ndim > 1 else one for name, one in drawn.items()}
    clip.cond_stage_model.load_state_dict(small_layers)
    return clip


@contextmanager
def _no_eyes() -> Any:
    """Text encoders that also read pictures come without the part for them, which has no small sizes."""
    import importlib

    places = (("llama", "qwen_vl", "Qwen2VLVisionTransformer"), ("qwen3vl", None, "Qwen3VLVisionModel"))
    undo = []
    for module, inner, name in places:
        try:
            owner = importlib.import_module(f"comfy.text_encoders.{module}")
        except ImportError:
            continue
        owner = getattr(owner, inner) if inner else owner
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, lambda *_, **__: torch.nn.Identity())
    try:
        yield
    finally:
        for owner, name, stock in undo:
            setattr(owner, name, stock)


def vae(channels: int) -> Any:
    """A small autoencoder of so many latent channels."""
    import comfy.sd
    from comfy.taesd.taesd import TAESD

    made = TAESD(latent_channels=channels)
    generator = torch.Generator().manual_seed(4)
    state = {name: _drawn(name, old, generator) for name, old in made.state_dict().items()}
    scaled = state | {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    return comfy.sd.VAE(sd=scaled, metadata={"tae_latent_channels": channels})


def vae_of(family: str) -> Any:
    """A small autoencoder with the latents of a family: films of one picture, or FLUX.2's cells of 16 pixels."""
    small = SMALL[family]
    if family in ("flux2", DEV):
        made = vae(small.channels // 4)
        plain = made.encode
        made.encode = lambda pixels: torch.nn.functional.pixel_unshuffle(plain(pixels), 2)
        made.spacial_compression_encode = lambda: 16
        return made
    made = vae(small.channels)
    if small.film:
        still = made.encode
        made.encode = lambda pixels: still(pixels).unsqueeze(2)
    return made


class _Rows(torch.nn.Module):
    """An encoder that gives each token a random row, a little of the row before mixed in."""

    def __init__(self, width: int, layers: int, family: str) -> None:
        import comfy.ops

        super().__init__()
        table = torch.randn(997, layers, width, generator=torch.Generator().manual_seed(width))
        self.table = torch.nn.Parameter(table, requires_grad=False)
        self.layers, self.family = layers, family
        held = comfy.ops.disable_weight_init.Embedding(1, width)  # each token of any vocabulary has one of the rows
        held.weight = torch.nn.Parameter(table[torch.arange(2**18) % 997, 0], requires_grad=False)
        self.transformer = _Table(held)

    def encode_token_weights(self, pairs: Any) -> Any:
        ids = torch.tensor([entry[0] for chunk in pairs for entry in chunk])
        rows = self.table[ids % 997].movedim(0, 1)  # (layers, L, width)
        rows = rows + 0.1 * rows.roll(1, 1)
        out = rows[None] if self.layers > 1 else rows
        extra = {"attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
        pooled = rows[:1].mean(1)
        return (out, pooled, extra) if self.family not in ("flux", "chroma", "sd3") else (out, pooled)

    def set_clip_options(self, options: Any) -> None:
        pass

    def reset_clip_options(self) -> None:
        pass


class _Table(torch.nn.Module):
    """What an encoder's token table is asked for."""

    def __init__(self, held: torch.nn.Embedding) -> None:
        super().__init__()
        self.held = held

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.held


def latent(family: str, size: tuple[int, int] = (8, 12), batch: int = 1) -> torch.Tensor:
    """An empty latent."""
    small = SMALL[family]
    return torch.zeros(batch, small.channels, *((1,) if small.film else ()), *size)


def _drawn(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not old.is_floating_point() or "pos_embedder" in name:
        return old
    drawn = torch.randn(old.shape, generator=generator)
    if old.ndim < 2:
        return (0.1 * drawn + (1.0 if name.endswith(("weight", "scale")) else 0.0)).to(old.dtype)
    return (drawn * max(1, old[0].numel()) ** -0.5).to(old.dtype)


@contextmanager
def _small_adapter() -> Any:
    """Anima's adapter between its two text encoders, small as well: its sizes are no settings."""
    import comfy.ldm.anima.model as anima

    stock = anima.LLMAdapter
    anima.LLMAdapter = partial(stock, source_dim=16, target_dim=16, model_dim=16, num_layers=1, num_heads=2)
    try:
        yield
    finally:
        anima.LLMAdapter = stock
