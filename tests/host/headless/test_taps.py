import pytest
import torch

from concept_atelier.host.headless.taps import find_sites

LATENT = torch.randn(2, 4, 6, 10, generator=torch.Generator().manual_seed(0))


def forward(backbone):
    with torch.no_grad():
        return backbone.predict_noise(LATENT, torch.tensor([7, 7]), backbone.encode_text(["a cat", "a dog"]))


def test_sites_are_in_running_order(lab_backbone):
    order = []
    with lab_backbone.tap_attention(lambda call: order.append(call.site)):
        forward(lab_backbone)
    assert tuple(order) == lab_backbone.attention_sites()
    assert [site.stage for site in order] == ["down"] * 6 + ["mid"] * 2 + ["up"] * 12
    assert [site.kind for site in order] == ["self", "cross"] * 10
    assert [site.downscale for site in order[::2]] == [1, 2, 4, 4, 4, 4, 2, 2, 1, 1]
    assert [site.heads for site in order[:6]] == [2, 2, 4, 4, 6, 6]


def test_queries_and_keys_are_those_of_the_attention(lab_backbone, lab_modules):
    """With the values of the layer they give what the layer computes before its output projection."""
    calls, values, inner = {}, {}, {}
    hooks = []
    for site in find_sites(lab_modules.unet):
        layer = lab_modules.unet.get_submodule(site.name)
        hooks.append(layer.to_v.register_forward_hook(lambda m, a, out, n=site.name: values.__setitem__(n, out)))
        hooks.append(layer.to_out[0].register_forward_hook(lambda m, a, out, n=site.name: inner.__setitem__(n, a[0])))
    with lab_backbone.tap_attention(lambda call: calls.__setitem__(call.site.name, call)):
        forward(lab_backbone)
    for hook in hooks:
        hook.remove()
    for name, call in calls.items():
        weights = (call.query @ call.key.transpose(-1, -2) * call.scale).softmax(-1)
        value = values[name].unflatten(-1, (call.site.heads, -1)).transpose(1, 2)
        torch.testing.assert_close((weights @ value).transpose(1, 2).flatten(2), inner[name], rtol=1e-4, atol=1e-5)
        assert call.grid == call.site.grid((6, 10)) and call.timestep == 7 and call.conditional == (True, True)


def test_only_the_chosen_sites_are_tapped(lab_backbone):
    chosen = lab_backbone.attention_sites()[3:5]
    seen = []
    with lab_backbone.tap_attention(lambda call: seen.append(call.site), chosen):
        forward(lab_backbone)
    assert tuple(seen) == chosen


def test_taps_are_gone_afterwards(lab_backbone):
    seen = []
    with lab_backbone.tap_attention(lambda call: seen.append(call.site)):
        pass
    forward(lab_backbone)
    assert not seen


def test_the_model_run_behind_the_backbones_back_is_noticed(lab_backbone, lab_modules):
    with lab_backbone.tap_attention(lambda call: None), pytest.raises(RuntimeError, match="outside predict_noise"):
        lab_modules.unet(LATENT, 3, torch.zeros(2, 77, 192))


def test_fused_projections_are_refused(lab_backbone, lab_modules, monkeypatch):
    layer = lab_modules.unet.get_submodule(lab_backbone.attention_sites()[0].name)
    monkeypatch.setattr(layer, "fused_projections", True)
    with pytest.raises(ValueError, match="fused"), lab_backbone.tap_attention(lambda call: None):
        pass
