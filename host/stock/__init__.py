"""Stock nodes for the headless runner: ComfyUI's names, sockets and formats, for what this pack's workflows use."""

from ..schema_standin.node import ComfyNode
from .latents import EmptyLatentImage, KSampler, VAEDecode, VAEEncode
from .lora import LoraLoader, LoraLoaderModelOnly
from .pictures import ImageScale, LoadImage, MaskToImage, PreviewImage, SaveImage
from .primitives import PrimitiveBoolean, PrimitiveFloat, PrimitiveInt, PrimitiveString, PrimitiveStringMultiline
from .texts import CLIPTextEncode, PreviewAny

STOCK_NODES: tuple[type[ComfyNode], ...] = (
    CLIPTextEncode,
    EmptyLatentImage,
    ImageScale,
    KSampler,
    LoadImage,
    LoraLoader,
    LoraLoaderModelOnly,
    MaskToImage,
    PreviewAny,
    PreviewImage,
    PrimitiveBoolean,
    PrimitiveFloat,
    PrimitiveInt,
    PrimitiveString,
    PrimitiveStringMultiline,
    SaveImage,
    VAEDecode,
    VAEEncode,
)

__all__ = ["STOCK_NODES"]
