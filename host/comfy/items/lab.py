"""How the pack makes the lab model."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

_VAE = "comfy.sd:VAE"
_MEMORY = "comfy.model_management"

ITEMS: tuple[Internal, ...] = tuple(
    Internal(path, "the pack makes the lab model", nodes_that(needs.LAB), called, uses)
    for path, called, uses in (
        ("comfy.supported_models:Flux", None, ()),
        ("comfy.model_base:Flux.__init__", "self, config, model_type=, device=", ()),
        ("comfy.model_base:ModelType.FLOW", None, ()),
        ("comfy.supported_models_base:BASE.__init__", "self, config", ("unet_config",)),
        ("comfy.supported_models_base:BASE.set_inference_dtype", "self, dtype, manual", ()),
        ("comfy.supported_models_base:BASE.get_model", "self, state, device=", ()),
        ("comfy.supported_models_base:ClipTarget", "tokenizer, text_model", ()),
        (
            "comfy.sd1_clip:SDClipModel.__init__",
            "self, device=, dtype=, textmodel_json_config=, special_tokens=, return_projected_pooled=, model_options=",
            ("transformer",),
        ),
        ("comfy.sd1_clip:SD1ClipModel.__init__", "self, device=, dtype=, model_options=, clip_model=", ("clip_{}",)),
        ("comfy.clip_model:CLIPTextModel.set_input_embeddings", "self, table", ()),
        ("comfy.ops:manual_cast.Embedding", "rows, width, dtype=, device=", ()),
        (f"{_VAE}.__init__", "self, sd=, dtype=", ("first_stage_model", "patcher", "device")),
        ("comfy.taesd.taesd:TAESD", "latent_channels=", ()),
        (f"{_MEMORY}:get_torch_device", "", ()),
        (f"{_MEMORY}:unet_offload_device", "", ()),
        (f"{_MEMORY}:vae_offload_device", "", ()),
    )
)
