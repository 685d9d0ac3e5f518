"""How the pack takes gradients through a model."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

_PATCHER = "comfy.model_patcher:ModelPatcher"
_CLIP = "comfy.sd:CLIP"
_MEMORY = "comfy.model_management"
_BLOCKS = "comfy.ldm.modules.attention"
_UNET = "comfy.ldm.modules.diffusionmodules.openaimodel"

_TEXT_BLOCKS = (
    "comfy.clip_model:CLIPLayer.forward",
    "comfy.text_encoders.t5:T5Block.forward",
    "comfy.text_encoders.llama:TransformerBlock.forward",
    "comfy.text_encoders.llama:TransformerBlockGemma2.forward",
)

ITEMS: tuple[Internal, ...] = (
    Internal(
        f"{_PATCHER}.add_weight_wrapper",
        "the pack takes gradients through weights that were made under inference mode",
        nodes_that(needs.GRADIENTS),
        called="self, key, wrapper",
    ),
    Internal(
        f"{_PATCHER}.add_object_patch",
        "the pack takes gradients through weights that a layer uses as they are",
        nodes_that(needs.GRADIENTS),
        called="self, name, value",
    ),
    Internal(
        f"{_PATCHER}.set_model_compute_dtype",
        "the pack runs float16 models in bfloat16 while learning",
        nodes_that(needs.GRADIENTS),
        called="self, dtype",
    ),
    Internal(
        f"{_PATCHER}.add_object_patch",
        "the pack computes blocks again in the backward pass, to save memory",
        nodes_that(needs.GRADIENTS),
        called="self, name, function",
    ),
    Internal(
        f"{_UNET}:ResBlock.forward",
        "the pack computes blocks again in the backward pass, to save memory",
        nodes_that(needs.GRADIENTS),
        called="self, x, emb",
    ),
    *(
        Internal(
            block,
            "the pack computes blocks of text encoders again in the backward pass, to save memory",
            nodes_that(needs.GRADIENTS),
            uses=("optimized_attention",),
        )
        for block in _TEXT_BLOCKS
    ),
    Internal(
        f"{_MEMORY}:get_free_memory",
        "the pack knows whether a pass fits into memory",
        nodes_that(needs.GRADIENTS),
        called="device",
    ),
    Internal(
        f"{_CLIP}.clone",
        "the pack takes gradients through the text encoder",
        nodes_that(needs.GRADIENTS),
        called="self",
    ),
    Internal(
        f"{_BLOCKS}:attention_pytorch",
        "the pack takes gradients through attention",
        nodes_that(needs.GRADIENTS),
        called="query, key, value, heads",
    ),
    Internal(
        "comfy.ops:CastWeightBiasOp.weight_function",
        "the pack changes the weights of a layer for one pass",
        nodes_that(needs.GRADIENTS),
    ),
    Internal(
        "comfy.ops:CastWeightBiasOp.bias_function",
        "the pack changes the biases of a layer for one pass",
        nodes_that(needs.GRADIENTS),
    ),
    Internal(f"{_MEMORY}:in_training", "the pack takes gradients through transformers", nodes_that(needs.PASSES)),
    Internal(
        f"{_MEMORY}:should_use_bf16",
        "the pack knows whether bfloat16 is supported",
        nodes_that(needs.GRADIENTS),
        called="device",
    ),
    Internal(
        "comfy.model_base:BaseModel.get_dtype",
        "the pack knows the precision of a model",
        nodes_that(needs.GRADIENTS),
        called="self",
    ),
)
