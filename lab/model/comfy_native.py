"""The lab model as ComfyUI's own MODEL, CLIP and VAE, for its stock nodes. Imported inside ComfyUI only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management as management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.taesd.taesd
import torch
from comfy import sd1_clip
from torch import Tensor

from .convert import text_to_sd15, transformer_to_flux, unet_to_sd15
from .modules import CONTEXT_LENGTH, TEXT_CONFIG, TEXT_WIDTH, TOKENIZER_FOLDER, UNET_CONFIG
from .transformer import FLOW_SHIFT, TRANSFORMER_CONFIG, load_transformer_state
from .vae import LabVAE
from .weights import WEIGHTS, check_files, load_part

FAMILY, TRANSFORMER_FAMILY = "lab", "lab_flux"
DTYPE = torch.float32  # small enough for every device, and its figures were measured at this precision


class LabConfig(comfy.supported_models.SD15):
    """What ComfyUI has to know of the lab's denoiser: SD1.5's anatomy, latents and noise schedule, other sizes."""

    concept_atelier_family = FAMILY
    unet_config: dict[str, Any] = {}
    unet_extra_config = {"num_heads": -1, "num_head_channels": UNET_CONFIG["block_out_channels"][0] // 2}


class LabFluxConfig(comfy.supported_models.Flux):
    """What ComfyUI has to know of the lab's transformer: FLUX.1's anatomy over SD1.5's latents."""

    concept_atelier_family = TRANSFORMER_FAMILY
    unet_config: dict[str, Any] = {}
    sampling_settings = {"shift": FLOW_SHIFT, "multiplier": 1.0}
    latent_format = comfy.latent_formats.SD15
    memory_usage_factor = 1.0

    def get_model(self, state_dict: dict[str, Any], prefix: str = "", device: Any = None) -> Any:
        """Sampled along a shifted flow, as SD3 and FLUX.1 [schnell] are."""
        return comfy.model_base.Flux(self, model_type=comfy.model_base.ModelType.FLOW, device=device)


class LabTextEncoder(sd1_clip.SDClipModel):
    """The lab's text tower, over its own vocabulary."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        start, end = special_ids()
        super().__init__(
            device=device,
            dtype=dtype,
            textmodel_json_config={**TEXT_CONFIG, "max_position_embeddings": CONTEXT_LENGTH, "eos_token_id": end},
            special_tokens={"start": start, "end": end, "pad": end},
            return_projected_pooled=False,
            model_options=dict(model_options or {}),
        )
        # ComfyUI always makes a table of CLIP's size.
        table = comfy.ops.manual_cast.Embedding(end + 1, TEXT_WIDTH, dtype=dtype, device=device)
        self.transformer.set_input_embeddings(table)


class LabTextModel(sd1_clip.SD1ClipModel):
    """What a CLIP of one tower holds."""

    concept_atelier_family = FAMILY

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None, **_: Any) -> None:
        options = dict(model_options or {})
        super().__init__(device=device, dtype=dtype, model_options=options, clip_model=LabTextEncoder)


class LabTokenizer(sd1_clip.SD1Tokenizer):
    """CLIP's tokenizer over the lab's vocabulary."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        super().__init__(embedding_directory, dict(tokenizer_data or {}), tokenizer=_tokenizer)


def load_native(
    folder: Path = WEIGHTS, embedding_folders: tuple[Path, ...] = (), denoiser: str = "unet"
) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of the trained lab model, with the denoiser ``unet`` or ``transformer``.

    Raises ``FileNotFoundError`` as :func:`check_files` and :func:`load_transformer_state` do.
    """
    check_files(folder)
    vae = LabVAE(**json.loads((folder / "vae/config.json").read_text(encoding="utf-8")))
    vae.load_state_dict(load_part(folder, "vae"))
    text = text_to_sd15(load_part(folder, "text_encoder"))
    if denoiser == "transformer":
        model = native_transformer(transformer_to_flux(load_transformer_state(folder)))
        return model, native_clip(text, embedding_folders), native_vae(vae)
    model = native_model(unet_to_sd15(load_part(folder, "unet")))
    return model, native_clip(text, embedding_folders), native_vae(vae)


def native_model(state: dict[str, Tensor]) -> Any:
    """A ``ModelPatcher`` over a UNet's state in SD1.5's layout."""
    return _patcher(LabConfig(unet_config()), state)


def native_transformer(state: dict[str, Tensor], config: Mapping[str, Any] = TRANSFORMER_CONFIG) -> Any:
    """A ``ModelPatcher`` over a transformer's state in FLUX.1's layout, with its sizes in diffusers' words."""
    return _patcher(LabFluxConfig(flux_config(config)), state)


def _patcher(config: Any, state: dict[str, Tensor]) -> Any:
    config.set_inference_dtype(DTYPE, None)
    device = management.get_torch_device()
    model = config.get_model({}, device=management.unet_offload_device())
    model.diffusion_model.load_state_dict(state)
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=management.unet_offload_device())


def native_clip(state: dict[str, Tensor], embedding_folders: tuple[Path, ...] = ()) -> Any:
    """A ``CLIP`` over a text encoder's state in SD1.5's layout."""
    clip = comfy.sd.CLIP(
        comfy.supported_models_base.ClipTarget(LabTokenizer, LabTextModel),
        embedding_directory=[str(folder) for folder in embedding_folders],
        model_options={"dtype": DTYPE},
    )
    projection = torch.eye(TEXT_WIDTH)  # the lab's tower has none
    clip.cond_stage_model.clip_l.transformer.load_state_dict(state | {"text_projection.weight": projection})
    return clip


def native_vae(vae: LabVAE) -> Any:
    """A ``VAE`` over the lab's own autoencoder.

    ComfyUI picks an autoencoder by its keys and knows none like ours: the smallest that it knows is made, which brings
    every setting that this version of ComfyUI wants, and ours is put in its place.
    """
    made = comfy.sd.VAE(sd=comfy.taesd.taesd.TAESD(latent_channels=4).state_dict(), dtype=DTYPE)
    made.first_stage_model = vae.eval().requires_grad_(False)
    made.size = None
    made.patcher = comfy.model_patcher.ModelPatcher(
        made.first_stage_model, load_device=made.device, offload_device=management.vae_offload_device()
    )
    return made


def unet_config() -> dict[str, Any]:
    """The denoiser's sizes in ComfyUI's words; complete, because names of LoRA keys are worked out from them."""
    widths, layers = UNET_CONFIG["block_out_channels"], UNET_CONFIG["layers_per_block"]
    return {
        "image_size": UNET_CONFIG["sample_size"],
        "in_channels": UNET_CONFIG["in_channels"],
        "out_channels": UNET_CONFIG["out_channels"],
        "model_channels": widths[0],
        "channel_mult": [width // widths[0] for width in widths],
        "num_res_blocks": [layers] * len(widths),
        "transformer_depth": [1] * layers * len(widths),
        "transformer_depth_output": [1] * (layers + 1) * len(widths),
        "transformer_depth_middle": 1,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": False,
        "context_dim": TEXT_WIDTH,
        "legacy": False,
        "adm_in_channels": None,
    }


def flux_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A transformer's sizes in ComfyUI's words, from those in diffusers'."""
    return {
        "image_model": "flux",
        "in_channels": config["in_channels"],
        "out_channels": config["in_channels"],
        "vec_in_dim": None,  # the pooled text is not read
        "context_in_dim": config["joint_attention_dim"],
        "hidden_size": config["attention_head_dim"] * config["num_attention_heads"],
        "mlp_ratio": 4.0,
        "num_heads": config["num_attention_heads"],
        "depth": config["num_layers"],
        "depth_single_blocks": config["num_single_layers"],
        "axes_dim": list(config["axes_dims_rope"]),
        "theta": 10000,
        "patch_size": config["patch_size"],
        "qkv_bias": True,
        "guidance_embed": False,
        "txt_ids_dims": [],
    }


def special_ids() -> tuple[int, int]:
    """Ids of start and end of text, the last two of the vocabulary."""
    size = len(json.loads((TOKENIZER_FOLDER / "vocab.json").read_text(encoding="utf-8")))
    return size - 2, size - 1


def _tokenizer(embedding_directory: Any = None, tokenizer_data: Any = None) -> Any:
    return sd1_clip.SDTokenizer(
        tokenizer_path=str(TOKENIZER_FOLDER),
        embedding_directory=embedding_directory,
        embedding_size=TEXT_WIDTH,
        tokenizer_data=dict(tokenizer_data or {}),
    )
