"""How the small transformers are built and fed: a table of families."""

from typing import Any, NamedTuple

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

DEV = "flux2_dev"
"""FLUX.2 dev is klein with another text model: the same denoiser here."""

KLEIN_9B = "flux2_9b"
"""FLUX.2 klein 9B, likewise."""

SMALL[DEV] = SMALL[KLEIN_9B] = SMALL["flux2"]
