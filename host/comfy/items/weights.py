"""How the pack reads and changes the weights of a MODEL."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

_PATCHER = "comfy.model_patcher:ModelPatcher"
_MEMORY = "comfy.model_management"

ITEMS: tuple[Internal, ...] = (
    Internal(
        "comfy.utils:unet_to_diffusers",
        "the pack translates weight names to those of LoRA files",
        nodes_that(needs.WEIGHTS),
        called="config",
    ),
    Internal(
        "comfy.lora:model_lora_keys_unet",
        "the pack knows layers by the names of LoRA files",
        nodes_that(needs.KEEP_LORAS_TO_REGIONS),
        called="model, names",
    ),
    Internal(
        "comfy.utils:flux_to_diffusers",
        "the pack knows the attention weights of FLUX by diffusers' names",
        nodes_that(needs.WEIGHTS),
        called="config, output_prefix=",
    ),
    Internal(
        "comfy.utils:z_image_to_diffusers",
        "the pack knows the attention weights of Z-Image by diffusers' names",
        nodes_that(needs.WEIGHTS),
        called="config, output_prefix=",
    ),
    Internal(
        "comfy.utils:mmdit_to_diffusers",
        "the pack knows the attention weights of Stable Diffusion 3 by diffusers' names",
        nodes_that(needs.WEIGHTS),
        called="config, output_prefix=",
    ),
    Internal(
        "comfy.model_patcher:get_key_weight",
        "the pack reads the weights in force",
        nodes_that(needs.WEIGHTS),
        called="model, key",
    ),
    Internal(
        f"{_PATCHER}.__init__",
        "the pack reads the weights in force",
        nodes_that(needs.WEIGHTS),
        uses=("backup", "hook_backup"),
    ),
    Internal(
        "comfy.utils:get_attr", "the pack knows the size of a weight", nodes_that(needs.WEIGHTS), called="module, name"
    ),
    Internal(
        f"{_PATCHER}.add_patches",
        "the pack adds a change to a MODEL",
        nodes_that(needs.WEIGHTS),
        called="self, patches, strength",
    ),
    Internal(
        "comfy.lora:load_lora", "the pack adds a change to a MODEL", nodes_that(needs.WEIGHTS), called="tensors, names"
    ),
    Internal(
        "comfy.lora:calculate_weight",
        "the pack reads the weights in force",
        nodes_that(needs.WEIGHTS),
        called="patches, weight, key",
    ),
    Internal(
        "comfy.weight_adapter:WeightAdapterBase",
        "the pack keeps a sparse change sparse until its weight is loaded",
        nodes_that(needs.SPARSE_WEIGHTS),
    ),
    Internal(
        "comfy.lora:calculate_weight",
        "the pack keeps a sparse change sparse until its weight is loaded",
        nodes_that(needs.SPARSE_WEIGHTS),
        uses=("WeightAdapterBase", "calculate_weight"),
    ),
    Internal(
        f"{_MEMORY}:cast_to_device",
        "the pack reads the weights in force",
        nodes_that(needs.WEIGHTS),
        called="tensor, device, dtype, copy=",
    ),
)
