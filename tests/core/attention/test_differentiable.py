import pytest
import torch

from concept_atelier.core.attention.differentiable import token_maps
from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.attention.selection import Selection

SELECTION = Selection(kinds=("cross",), grids=((4, 6),))
LATENT = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
TIMESTEP = torch.tensor([40, 900])


def test_they_are_the_recorders_maps(lab_backbone):
    recorder = AttentionRecorder(SELECTION)
    with (
        torch.no_grad(),
        recorder.listening(lab_backbone),
        token_maps(lab_backbone, SELECTION, [[1, 4], [2, 2]]) as maps,
    ):
        lab_backbone.predict_noise(LATENT, TIMESTEP, lab_backbone.encode_text(["a cat", "a dog"]))
    dense = recorder.maps().cross[(4, 6)]
    torch.testing.assert_close(maps.mean(), torch.stack([dense[0, [1, 4]], dense[1, [2, 2]]]))


def test_gradients_reach_the_placeholders_vectors_and_no_weight(lab_backbone, lab_modules):
    vectors = torch.randn(2, 192, generator=torch.Generator().manual_seed(0)).mul_(0.02).requires_grad_()
    placeholders = {"<apple>": {"clip_l": vectors}}
    with token_maps(lab_backbone, SELECTION, [[3, 4], [3, 4]]) as maps:
        lab_backbone.predict_noise(LATENT, TIMESTEP, lab_backbone.encode_text(["photo of <apple>"] * 2, placeholders))
    maps.mean().square().sum().backward()
    assert (vectors.grad.abs().sum(1) > 0).all()
    weights = [*lab_modules.unet.parameters(), *lab_modules.text_encoder.parameters()]
    assert all(weight.grad is None for weight in weights)


def test_layers_of_several_grids_are_refused(lab_backbone):
    with torch.no_grad(), token_maps(lab_backbone, Selection(), [[1], [1]]) as maps:
        lab_backbone.predict_noise(LATENT, TIMESTEP, lab_backbone.encode_text(["a", "b"]))
    with pytest.raises(ValueError, match="exactly one grid"):
        maps.mean()
