"""Stock nodes for the headless runner: ComfyUI's names, sockets and formats, for what this pack's workflows use."""

from ...schema.standin.node import ComfyNode
from ..given import checked
from .latents import EmptyLatentImage, KSampler, KSamplerAdvanced, VAEDecode, VAEEncode
from .lora import LoraLoader, LoraLoaderModelOnly
from .pictures import ImageScale, LoadImage, LoadImageMask, MaskToImage, PreviewImage, SaveImage
from .primitives import PrimitiveBoolean, PrimitiveFloat, PrimitiveInt, PrimitiveString, PrimitiveStringMultiline
from .texts import CLIPTextEncode, PreviewAny, StringConcatenate

_ALL: tuple[type[ComfyNode], ...] = (
    CLIPTextEncode,
    EmptyLatentImage,
    ImageScale,
    KSampler,
    KSamplerAdvanced,
    LoadImage,
    LoadImageMask,
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
    StringConcatenate,
    VAEDecode,
    VAEEncode,
)

STOCK_NODES = tuple(checked(node) for node in _ALL)

__all__ = ["STOCK_NODES"]
