import pytest
import torch

from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.attention.selection import Selection
from concept_atelier.core.attention.sites import choose_sites
from concept_atelier.core.learn.parts.token_maps import common_grid, recorded_tokens


def run(backbone, spots, sites, grid, latent=None):
    latent = torch.ones(2, 4, 8, 12) if latent is None else latent
    conditioning = backbone.encode_text(["a cat", "a dog on blue"])
    with recorded_tokens(backbone, sites, spots, grid) as maps:
        backbone.predict_noise(latent, torch.tensor([10, 500]), conditioning)
    return maps.mean()


def test_all_positions_together_get_all_the_attention(lab_backbone):
    sites = choose_sites(lab_backbone, (8, 12), None)
    everything = [(0, tuple(range(77))), (1, tuple(range(77)))]
    torch.testing.assert_close(run(lab_backbone, everything, sites, (8, 12)), torch.ones(2, 8, 12))


def test_positions_of_a_token_are_summed_and_rows_kept_apart(lab_backbone, generator):
    sites = choose_sites(lab_backbone, (8, 12), 2)
    latent = torch.randn(2, 4, 8, 12, generator=generator)
    spots = [(0, (2,)), (0, (3,)), (0, (2, 3)), (1, (2, 3))]
    maps = run(lab_backbone, spots, sites, (4, 6), latent)
    torch.testing.assert_close(maps[0] + maps[1], maps[2])
    assert not torch.allclose(maps[2], maps[3], atol=1e-6)


def test_one_layer_equals_the_softmax_written_out(lab_backbone, generator):
    sites = choose_sites(lab_backbone, (8, 12), 2)[:1]
    latent = torch.randn(2, 4, 8, 12, generator=generator)
    conditioning = lab_backbone.encode_text(["a cat", "a dog on blue"])
    calls = []
    with lab_backbone.tap_attention(calls.append, sites):
        lab_backbone.predict_noise(latent, torch.tensor([10, 500]), conditioning)
    (call,) = calls
    weights = torch.softmax(torch.einsum("bhnd,bhmd->bhnm", call.query, call.key) * call.scale, -1)
    expected = weights.mean(1)[1, :, 4].reshape(4, 6)
    torch.testing.assert_close(run(lab_backbone, [(1, (4,))], sites, (4, 6), latent)[0], expected)


def test_they_are_the_recorders_maps(lab_backbone, generator):
    sites = [site for site in lab_backbone.attention_sites() if site.kind == "cross" and site.downscale == 2]
    latent = torch.randn(2, 4, 8, 12, generator=generator)
    recorder = AttentionRecorder(Selection(kinds=("cross",), grids=((4, 6),)))
    with torch.no_grad(), recorder.recording(lab_backbone):
        maps = run(lab_backbone, [(0, (1,)), (1, (2,))], sites, (4, 6), latent)
    dense = recorder.maps().cross[(4, 6)]
    torch.testing.assert_close(maps, torch.stack([dense[0, 1], dense[1, 2]]))


def test_gradients_reach_the_placeholders_vectors_and_no_weight(lab_backbone, lab_modules):
    vectors = torch.randn(2, 192, generator=torch.Generator().manual_seed(0)).mul_(0.02).requires_grad_()
    conditioning = lab_backbone.encode_text(["photo of <apple>"], {"<apple>": {"clip_l": vectors}})
    with recorded_tokens(lab_backbone, choose_sites(lab_backbone, (8, 12), 2), [(0, (3, 4))], (4, 6)) as maps:
        lab_backbone.predict_noise(torch.ones(1, 4, 8, 12), torch.tensor([40]), conditioning)
    maps.mean().square().sum().backward()
    assert (vectors.grad.abs().sum(1) > 0).all()
    weights = [*lab_modules.unet.parameters(), *lab_modules.text_encoder.parameters()]
    assert all(weight.grad is None for weight in weights)


def test_sites_by_downscale_or_by_size(lab_backbone):
    assert {site.downscale for site in choose_sites(lab_backbone, (16, 16), 4)} == {4}
    assert {site.downscale for site in choose_sites(lab_backbone, (16, 24), None, 8)} == {1, 2}
    assert {site.downscale for site in choose_sites(lab_backbone, (3, 3), None, 8)} == {1}
    assert {site.stage for site in choose_sites(lab_backbone, (16, 16), None, 1)} == {"down", "up"}
    assert {site.kind for site in choose_sites(lab_backbone, (16, 16), None, 1)} == {"cross"}
    with pytest.raises(ValueError, match=r"no cross-attention at 1/64.*\[1, 2, 4\]"):
        choose_sites(lab_backbone, (16, 16), 64)


def test_the_common_grid_is_the_finest_but_not_too_fine(lab_backbone):
    sites = choose_sites(lab_backbone, (16, 24), None)
    assert common_grid(sites, (16, 24), 32) == (16, 24)
    assert common_grid(sites, (16, 24), 12) == (8, 12)
    assert common_grid(sites, (2, 50), 5) == (1, 5)
