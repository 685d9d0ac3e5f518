"""Models with the anatomy of Stable Diffusion 1.x, 2.x and XL, small and at random weights, as MODEL, CLIP and VAE.

For tests inside ComfyUI: everything of ``comfy`` is imported when a model is built. No file is read or written but
ComfyUI's own tokenizer. Weights: matrices N(0, 1 / inputs), norms 1, biases 0, embeddings N(0, 0.02).
"""

from typing import Any, NamedTuple

import torch

WIDTHS = {"sd15": {"l": 64}, "sd2": {"h": 64}, "sdxl": {"l": 32, "g": 64}}
"""Family to its text encoders' widths."""


class Parts(NamedTuple):
    """What a checkpoint loader gives."""

    model: Any
    clip: Any
    vae: Any


def build(family: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> Parts:
    """A model of ``sd15``, ``sd2`` (v-prediction) or ``sdxl``; ``dtype`` is that of the denoiser."""
    generator = torch.Generator().manual_seed(seed)
    return Parts(_model(family, generator, dtype), _clip(family, generator), _vae(generator))


def unet_config(family: str) -> dict[str, Any]:
    """The complete configuration of a family's small UNet: two levels, one residual block each."""
    width = sum(WIDTHS[family].values())
    shared = {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 64,
        "num_res_blocks": [1, 1],
        "channel_mult": [1, 2],
        "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": family != "sd15",
        "context_dim": width,
        "legacy": False,
        "adm_in_channels": None,
    }
    if family != "sdxl":
        return shared
    return shared | {
        "transformer_depth": [0, 2],
        "transformer_depth_output": [0, 0, 2, 2],
        "transformer_depth_middle": 2,
        "num_classes": "sequential",
        "adm_in_channels": WIDTHS["sdxl"]["g"] + 6 * 256,
    }


def fill(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Random weights for a module whose constructor left memory uninitialised."""
    state = {}
    for name, old in module.state_dict().items():
        if name.endswith("position_ids") or not old.is_floating_point():
            state[name] = old
        elif old.ndim < 2:
            is_norm = name.endswith("weight")
            state[name] = torch.full_like(old, 1.0 if is_norm else 0.0)
        else:
            scale = 0.02 if "embedding" in name else old[0].numel() ** -0.5
            state[name] = (torch.randn(old.shape, generator=generator) * scale).to(old.dtype)
    module.load_state_dict(state)


def _model(family: str, generator: torch.Generator, dtype: torch.dtype) -> Any:
    import comfy.model_base
    import comfy.model_management as mm
    import comfy.model_patcher
    import comfy.supported_models as supported

    base = {"sd15": supported.SD15, "sd2": supported.SD20, "sdxl": supported.SDXL}[family]
    fixed = {"num_heads": 4, "num_head_channels": -1}
    heads = fixed if family == "sd15" else {"num_heads": -1, "num_head_channels": 16}

    class Small(base):
        unet_config: Any = {}
        unet_extra_config = heads

        def model_type(self, state_dict: Any, prefix: str = "") -> Any:
            kinds = comfy.model_base.ModelType
            return kinds.V_PREDICTION if family == "sd2" else kinds.EPS

    config = Small(unet_config(family))
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, device=mm.get_torch_device())
    fill(model.diffusion_model, generator)
    return comfy.model_patcher.ModelPatcher(
        model, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device()
    )


def _clip(family: str, generator: torch.Generator) -> Any:
    import comfy.sd
    import comfy.supported_models_base as base
    import folder_paths

    tokenizer, encoder = _sdxl_text() if family == "sdxl" else _single_text(*next(iter(WIDTHS[family].items())))
    clip = comfy.sd.CLIP(
        base.ClipTarget(tokenizer, encoder),
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        model_options={"dtype": torch.float32},
    )
    fill(clip.cond_stage_model, generator)
    return clip


def _text_config(width: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": 3,
        "hidden_size": width,
        "num_attention_heads": 4,
        "intermediate_size": 4 * width,
        "hidden_act": "quick_gelu",
        "max_position_embeddings": 77,
        "eos_token_id": 49407,
    }


def _tower(letter: str, width: int, **options: Any) -> Any:
    """A text encoder class with the habits of CLIP-L, OpenCLIP-H or OpenCLIP-G."""
    from comfy import sd1_clip

    plain = {"return_projected_pooled": letter != "l"}
    if letter != "l":
        plain |= {"layer": "hidden", "layer_idx": -2, "special_tokens": {"start": 49406, "end": 49407, "pad": 0}}

    class Tower(sd1_clip.SDClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None, **kwargs: Any) -> None:
            settings = {**plain, **options, **kwargs, "textmodel_json_config": _text_config(width)}
            super().__init__(device=device, dtype=dtype, model_options=dict(model_options or {}), **settings)

    return Tower


def _reader(letter: str, width: int) -> Any:
    from comfy import sd1_clip

    def make(embedding_directory: Any = None, tokenizer_data: Any = None, **kwargs: Any) -> Any:
        return sd1_clip.SDTokenizer(
            embedding_directory=embedding_directory,
            tokenizer_data=tokenizer_data or {},
            embedding_size=width,
            embedding_key=f"clip_{letter}",
            pad_with_end=letter == "l",
            **kwargs,
        )

    return make


def _single_text(letter: str, width: int) -> tuple[Any, Any]:
    from comfy import sd1_clip

    class Tokenizer(sd1_clip.SD1Tokenizer):
        def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
            super().__init__(embedding_directory, tokenizer_data or {}, letter, _reader(letter, width))

    class Encoder(sd1_clip.SD1ClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(device, dtype, model_options or {}, letter, _tower(letter, width))

    return Tokenizer, Encoder


def _sdxl_text() -> tuple[Any, Any]:
    from comfy import sdxl_clip

    widths = WIDTHS["sdxl"]

    class Tokenizer(sdxl_clip.SDXLTokenizer):
        def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
            for letter, width in widths.items():
                setattr(self, f"clip_{letter}", _reader(letter, width)(embedding_directory, tokenizer_data))

    class Encoder(sdxl_clip.SDXLClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            torch.nn.Module.__init__(self)
            given = {
                "device": device,
                "dtype": dtype,
                "model_options": model_options,
                "layer_norm_hidden_state": False,
            }
            self.clip_l = _tower("l", widths["l"], layer="hidden", layer_idx=-2, return_projected_pooled=True)(**given)
            self.clip_g = _tower("g", widths["g"])(**given)
            self.dtypes = {dtype}

    return Tokenizer, Encoder


def _vae(generator: torch.Generator) -> Any:
    import comfy.sd
    from comfy.taesd.taesd import TAESD

    vae = TAESD()
    fill(vae, generator)
    state = vae.state_dict()
    return comfy.sd.VAE(sd=state | {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)})
