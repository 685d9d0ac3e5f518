"""How the pack runs a MODEL and a VAE by itself, and shows how far it is."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

_PATCHER = "comfy.model_patcher:ModelPatcher"
_VAE = "comfy.sd:VAE"
_MEMORY = "comfy.model_management"

ITEMS: tuple[Internal, ...] = (
    Internal(
        "comfy.latent_formats:LatentFormat.latent_channels",
        "the pack knows the size of a latent",
        nodes_that(needs.PASSES),
    ),
    Internal(
        "comfy.model_base:BaseModel.apply_model",
        "the pack asks the model for a clean picture",
        nodes_that(needs.PASSES),
        called="self, x, sigma, c_crossattn=, transformer_options=",
    ),
    Internal(
        "comfy.model_base:BaseModel.process_latent_in",
        "the pack scales latents",
        nodes_that(needs.PASSES),
        called="self, latent",
    ),
    Internal(
        "comfy.model_base:BaseModel.process_latent_out",
        "the pack scales latents",
        nodes_that(needs.PASSES),
        called="self, latent",
    ),
    Internal(
        "comfy.model_base:SDXL.encode_adm",
        "the pack gives Stable Diffusion XL the pooled text and sizes",
        nodes_that(needs.PASSES),
        called="self, pooled_output=, height=, width=, device=, noise=, prompt_type=",
    ),
    Internal(
        "comfy.model_base:BaseModel.extra_conds",
        "the pack gives transformers what their conditioning holds",
        nodes_that(needs.PASSES),
        called="self, cross_attn=, noise=, device=, prompt_type=, pooled_output=",
    ),
    Internal(
        "comfy.model_base:Flux.extra_conds",
        "the pack gives FLUX the guidance of a conditioning",
        nodes_that(needs.PASSES),
        uses=("guidance",),
    ),
    Internal(
        "comfy.conds:CONDRegular.process_cond",
        "the pack gives transformers what their conditioning holds",
        nodes_that(needs.PASSES),
        called="self, batch_size=",
    ),
    Internal(
        "comfy.model_sampling:ModelSamplingDiscrete.timestep",
        "the pack converts noise levels to timesteps and back",
        nodes_that(needs.MODEL),
        called="self, sigma",
    ),
    Internal(
        "comfy.model_sampling:ModelSamplingDiscrete.set_sigmas",
        "the pack reads the table of noise levels",
        nodes_that(needs.MODEL),
        uses=("sigmas",),
    ),
    Internal(f"{_VAE}.encode", "the pack encodes pictures", nodes_that(needs.PASSES), called="self, pixels"),
    Internal(
        f"{_VAE}.decode",
        "the pack decodes latents",
        nodes_that(needs.DECODE),
        called="self, samples",
    ),
    Internal(
        f"{_VAE}.spacial_compression_encode",
        "the pack knows the size of a latent's cell",
        nodes_that(needs.PASSES),
        called="self",
    ),
    Internal(
        f"{_PATCHER}.__init__",
        "the pack changes a MODEL for one run only",
        (*nodes_that(needs.MODEL), *nodes_that(needs.LAB)),
        called="self, model, load_device=, offload_device=",
        uses=("model", "model_options", "transformer_options", "load_device", "wrappers"),
    ),
    Internal(
        f"{_PATCHER}.clone",
        "the pack changes a copy of a MODEL and not the one given",
        nodes_that(needs.MODEL),
        called="self",
    ),
    Internal(
        f"{_PATCHER}.get_model_object", "the pack reads parts of a MODEL", nodes_that(needs.MODEL), called="self, name"
    ),
    Internal(
        f"{_PATCHER}.memory_required",
        "the pack asks for memory before a pass",
        nodes_that(needs.PASSES),
        called="self, shape",
    ),
    Internal(
        f"{_PATCHER}.unpatch_hooks",
        "a guard asks the model before an erasure while the erased one is sampled",
        nodes_that(needs.CORRECT_SAMPLING),
        called="self",
    ),
    Internal(
        f"{_MEMORY}:load_models_gpu",
        "the pack loads models into memory",
        nodes_that(needs.PASSES),
        called="models, memory_required=",
    ),
    Internal(
        f"{_MEMORY}:soft_empty_cache", "the pack gives memory back after learning", nodes_that(needs.PASSES), called=""
    ),
    Internal(
        f"{_MEMORY}:throw_exception_if_processing_interrupted",
        "the pack stops when a run is cancelled",
        nodes_that(needs.PROGRESS),
        called="",
    ),
    Internal(
        "comfy.utils:ProgressBar.__init__",
        "the pack shows progress",
        nodes_that(needs.PROGRESS),
        called="self, total, node_id=",
    ),
    Internal(
        "comfy.utils:ProgressBar.update_absolute",
        "the pack shows progress",
        nodes_that(needs.PROGRESS),
        called="self, value, total, preview",
    ),
    Internal(
        "comfy.clip_model:CLIPEncoder.__init__",
        "the pack changes what the last block of a picture encoder reads",
        nodes_that(needs.CHANGE_PICTURE_ENCODER),
        uses=("layers",),
    ),
    Internal(
        "comfy.clip_model:CLIPAttention.forward",
        "the pack reads positions of a picture encoder in the space of texts",
        nodes_that(needs.PLACES_OF_WORDS),
        uses=("q_proj", "v_proj", "heads", "out_proj"),
    ),
    Internal(
        "comfy.clip_model:CLIPLayer.forward",
        "the pack reads positions of a picture encoder in the space of texts",
        nodes_that(needs.PLACES_OF_WORDS),
        uses=("layer_norm1", "self_attn"),
    ),
    Internal(
        "comfy.clip_model:CLIPVision.forward",
        "the pack reads positions of a picture encoder in the space of texts",
        nodes_that(needs.PLACES_OF_WORDS),
        uses=("encoder", "post_layernorm"),
    ),
    Internal(
        "comfy.clip_model:CLIPVisionModelProjection.forward",
        "the pack reads positions of a picture encoder in the space of texts",
        nodes_that(needs.PLACES_OF_WORDS),
        uses=("vision_model", "visual_projection"),
    ),
    Internal(
        "comfy.patcher_extension:merge_nested_dicts",
        "the pack runs the wrappers of other nodes in its own passes",
        nodes_that(needs.PASSES),
        called="one, other",
    ),
)
