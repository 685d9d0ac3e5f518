"""Trainable low-rank changes of attention weights, over diffusers."""

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.types import FullChange, LowRank
from concept_atelier.host.shared.weights.weight_patches import WeightPatch

LATENT = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
CONDITIONING = Conditioning(torch.randn(2, 77, 192, generator=torch.Generator().manual_seed(1)))
TIMESTEP = torch.tensor([5, 800])


@pytest.fixture
def noise(lab_backbone):
    return lambda: lab_backbone.predict_noise(LATENT, TIMESTEP, CONDITIONING)


@pytest.fixture
def changes(lab_backbone, generator):
    """Of one weight in each role and kind, small."""
    weights = {(w.kind, w.role): w for w in lab_backbone.attention_weights()}
    return {
        w.name: LowRank(
            0.1 * torch.randn(w.shape[0], 2, generator=generator), torch.randn(2, w.shape[1], generator=generator)
        )
        for w in weights.values()
    }


def test_every_site_has_its_four_weights_and_the_key_value_weights_are_among_them(lab_backbone, lab_modules):
    weights = lab_backbone.attention_weights()
    assert len(weights) == 4 * len(lab_backbone.attention_sites())
    assert {(w.kind, w.role) for w in weights} == {
        (kind, role) for kind in ("self", "cross") for role in ("query", "key", "value", "out")
    }
    assert all(tuple(lab_modules.unet.get_parameter(w.name).shape) == w.shape for w in weights)
    cross = [(w.name, w.role) for w in weights if w.kind == "cross" and w.role in ("key", "value")]
    assert cross == [(w.name, w.role) for w in lab_backbone.key_value_weights()]


def test_zero_factors_change_no_bit(lab_backbone, changes, noise):
    zero = {name: LowRank(torch.zeros_like(f.up), f.down) for name, f in changes.items()}
    with torch.no_grad():
        plain = noise()
        with lab_backbone.adapted(zero):
            assert noise().equal(plain)
    with lab_backbone.adapted(zero):
        assert noise().equal(plain)


def test_changes_are_those_of_a_patch_and_add_up(lab_backbone, lab_model, changes, noise):
    from concept_atelier.host.headless.backbone import DiffusersBackbone

    patched = DiffusersBackbone(lab_model.with_patch(WeightPatch(changes, 2.0)))
    with torch.no_grad():
        plain, expected = noise(), patched.predict_noise(LATENT, TIMESTEP, CONDITIONING)
        with lab_backbone.adapted(changes), lab_backbone.adapted(changes):
            torch.testing.assert_close(noise(), expected)
    assert not torch.allclose(plain, expected, atol=1e-3)


def test_a_whole_change_is_its_factors_multiplied_and_takes_gradients(lab_backbone, changes, noise):
    whole = {name: FullChange(factor.dense().requires_grad_()) for name, factor in changes.items()}
    with lab_backbone.adapted(changes), torch.no_grad():
        expected = noise()
    with lab_backbone.adapted(whole):
        found = noise()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(found.sum(), [change.change for change in whole.values()])
    assert all(float(one.abs().sum()) > 0 for one in gradients)


def test_gradients_are_the_finite_differences(lab_backbone, changes, generator):
    """At every kind of weight, along a random direction in both factors."""
    weigh = torch.randn(LATENT.shape, generator=generator)

    def loss(given):
        with lab_backbone.adapted(given):
            return (weigh * lab_backbone.predict_noise(LATENT, TIMESTEP, CONDITIONING)).sum()

    leaves = {n: LowRank(f.up.clone().requires_grad_(), f.down.clone().requires_grad_()) for n, f in changes.items()}
    flat = [half for f in leaves.values() for half in (f.up, f.down)]
    gradients = torch.autograd.grad(loss(leaves), flat)
    for index, half in enumerate(flat):
        direction = torch.randn(half.shape, generator=generator) * half.detach().std()
        with torch.no_grad():
            moved = [[*flat[:index], half + step * direction, *flat[index + 1 :]] for step in (0.005, -0.005)]
            pairs = [zip(halves[::2], halves[1::2], strict=True) for halves in moved]
            above, below = (loss({n: LowRank(*pair) for n, pair in zip(leaves, given, strict=True)}) for given in pairs)
        slope, expected = float((above - below) / 0.01), float((gradients[index] * direction).sum())
        assert slope == pytest.approx(expected, rel=0.03, abs=0.01)
        assert abs(expected) > 0.1


def test_all_is_undone_after_an_exception_and_the_model_gets_no_gradient(lab_backbone, lab_modules, changes, noise):
    before = {name: tensor.clone() for name, tensor in lab_modules.unet.state_dict().items()}
    with torch.no_grad():
        plain = noise()
    leaves = {name: LowRank(f.up.clone().requires_grad_(), f.down) for name, f in changes.items()}
    with pytest.raises(RuntimeError, match="stop"), lab_backbone.adapted(leaves):
        noise().sum().backward()
        raise RuntimeError("stop")
    assert all(f.up.grad.abs().sum() > 0 for f in leaves.values())
    with torch.no_grad():
        assert noise().equal(plain)
    assert all(tensor.equal(before[name]) for name, tensor in lab_modules.unet.state_dict().items())
    assert all(weight.grad is None for weight in lab_modules.unet.parameters())


def test_a_backward_pass_may_run_after_the_context(lab_backbone, changes, noise):
    leaves = {name: LowRank(f.up.clone().requires_grad_(), f.down) for name, f in changes.items()}
    with lab_backbone.adapted(leaves):
        loss = noise().sum()
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, [f.up for f in leaves.values()]))


def test_unknown_names_and_other_shapes_are_refused(lab_backbone, changes):
    name, factor = next(iter(changes.items()))
    with (
        pytest.raises(ValueError, match="no weights nowhere.weight that can be changed"),
        lab_backbone.adapted({"nowhere.weight": factor}),
    ):
        pass
    wrong = LowRank(factor.up[1:], factor.down)
    with pytest.raises(ValueError, match="do not fit"), lab_backbone.adapted({name: wrong}):
        pass
    whole = FullChange(factor.dense()[1:])
    with pytest.raises(ValueError, match="does not fit"), lab_backbone.adapted({name: whole}):
        pass
