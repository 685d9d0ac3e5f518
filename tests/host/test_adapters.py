import pytest

from concept_atelier.host.adapters import UnsupportedModelError, backbone_of
from concept_atelier.host.headless.backbone import DiffusersBackbone


def test_our_handles_get_the_diffusers_backbone(lab_model, lab_clip, lab_vae):
    backbone = backbone_of(lab_model, lab_clip, lab_vae)
    assert isinstance(backbone, DiffusersBackbone)
    assert (backbone.family, backbone.latent_downscale, dict(backbone.text_widths)) == ("lab", 8, {"clip_l": 192})


def test_anything_else_is_named_with_what_is_supported(lab_model, lab_clip):
    class ModelPatcher: ...

    with pytest.raises(UnsupportedModelError, match=r"MODEL is a .*ModelPatcher.*ModelHandle"):
        backbone_of(ModelPatcher(), lab_clip)
    with pytest.raises(UnsupportedModelError, match="CLIP is a .*ModelHandle"):
        backbone_of(lab_model, lab_model)
