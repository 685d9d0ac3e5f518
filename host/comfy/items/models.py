"""How the pack recognises the family of a MODEL or CLIP."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

ITEMS: tuple[Internal, ...] = tuple(
    Internal(path, "the pack recognises the family of a MODEL or CLIP", nodes)
    for path, nodes in (
        ("comfy.supported_models:SD15", nodes_that(needs.MODEL)),
        ("comfy.supported_models:SD20", nodes_that(needs.MODEL)),
        ("comfy.latent_formats:SD15", nodes_that(needs.MODEL)),
        ("comfy.latent_formats:SDXL", nodes_that(needs.MODEL)),
        ("comfy.model_base:BaseModel", nodes_that(needs.MODEL)),
        ("comfy.model_base:SDXL", nodes_that(needs.MODEL)),
        ("comfy.model_sampling:EPS", nodes_that(needs.MODEL)),
        ("comfy.model_sampling:IMG_TO_IMG", nodes_that(needs.MODEL)),
        ("comfy.model_sampling:CONST", nodes_that(needs.MODEL)),
        ("comfy.sd1_clip:SD1ClipModel", nodes_that(needs.CLIP)),
        ("comfy.sdxl_clip:SDXLClipModel", nodes_that(needs.CLIP)),
    )
)
