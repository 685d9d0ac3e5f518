"""How the pack records and changes the attention layers of a model."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

_BLOCKS = "comfy.ldm.modules.attention"
_UNET = "comfy.ldm.modules.diffusionmodules.openaimodel"

ITEMS: tuple[Internal, ...] = (
    Internal(
        f"{_BLOCKS}:wrap_attn",
        "the pack records queries and keys of a layer",
        nodes_that(needs.ATTENTION),
        called="function",
        uses=("optimized_attention_override", "transformer_options"),
    ),
    Internal(
        f"{_BLOCKS}:BasicTransformerBlock.forward",
        "the pack knows which layer it records",
        nodes_that(needs.ATTENTION),
        called="self, x, context=, transformer_options=",
        uses=("patches", "patches_replace", "attn1_patch", "attn2_patch", "attn1", "attn2", "block", "block_index"),
    ),
    Internal(
        f"{_BLOCKS}:BasicTransformerBlock.forward",
        "a LoRA's change of the projection behind an attention layer is kept to its region",
        nodes_that(needs.KEEP_LORAS_TO_REGIONS),
        called="self, x, context=, transformer_options=",
        uses=("attn1_output_patch", "attn2_output_patch"),
    ),
    Internal(
        f"{_BLOCKS}:SpatialTransformer.forward",
        "the pack knows the grid of a layer",
        nodes_that(needs.ATTENTION),
        called="self, x, context=, transformer_options=",
        uses=("activations_shape", "block_index"),
    ),
    Internal(
        f"{_BLOCKS}:CrossAttention.__init__",
        "the pack splits queries and keys into heads",
        nodes_that(needs.ATTENTION),
        uses=("heads", "to_q", "to_k"),
    ),
    Internal(
        f"{_UNET}:UNetModel.__init__",
        "the pack lists the layers of a UNet",
        nodes_that(needs.ATTENTION),
        uses=("input_blocks", "middle_block", "output_blocks"),
    ),
    Internal(
        f"{_UNET}:UNetModel._forward",
        "the pack knows the number of a block",
        nodes_that(needs.ATTENTION),
        uses=("block", "input", "output"),
    ),
    Internal(f"{_UNET}:Downsample", "the pack knows the size of a layer's grid", nodes_that(needs.ATTENTION)),
    Internal(f"{_UNET}:Upsample", "the pack knows the size of a layer's grid", nodes_that(needs.ATTENTION)),
)
