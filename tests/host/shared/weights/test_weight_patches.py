import pytest
import torch
from torch import nn
from torch.nn import Conv2d, Linear

from concept_atelier.core.types import LowRank
from concept_atelier.host.shared.weights.weight_patches import (
    WeightPatch,
    call_with,
    check_patch,
    constants,
    patched_weights,
)


@pytest.fixture
def module(generator):
    layer = Linear(5, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, 5, generator=generator))
    return nn.Sequential(layer)


@pytest.fixture
def factor(generator):
    return LowRank(torch.randn(3, 2, generator=generator), torch.randn(2, 5, generator=generator))


def test_several_patches_add_up(module, factor):
    patches = [WeightPatch({"0.weight": factor}, 2.0), WeightPatch({"0.weight": factor}, -0.5)]
    changed = patched_weights(module, patches)
    torch.testing.assert_close(changed["0.weight"], module[0].weight + 1.5 * factor.up @ factor.down)


def test_no_weight_is_written_to(module, factor):
    before = module[0].weight.detach().clone()
    output = call_with(module, patched_weights(module, [WeightPatch({"0.weight": factor})]), torch.ones(1, 5))
    assert module[0].weight.equal(before)
    assert not output.equal(module(torch.ones(1, 5)))


def test_strength_zero_changes_nothing(module, factor):
    assert patched_weights(module, [WeightPatch({"0.weight": factor}, 0.0)]) == {}


def test_half_precision_weights_stay_half(module, factor):
    changed = patched_weights(module.half(), [WeightPatch({"0.weight": factor})])
    assert changed["0.weight"].dtype == torch.float16


def test_pointwise_convolutions_take_factors_too(factor):
    module = nn.Sequential(Conv2d(5, 3, 1))
    patch = WeightPatch({"0.weight": factor})
    check_patch(module, patch)
    change = patched_weights(module, [patch])["0.weight"] - module[0].weight
    torch.testing.assert_close(change[..., 0, 0], factor.dense())


def test_unknown_names_and_wrong_shapes_are_refused(module, factor):
    with pytest.raises(ValueError, match="does not have: 1.weight"):
        check_patch(module, WeightPatch({"1.weight": factor}))
    with pytest.raises(ValueError, match=r"0.weight is \(3, 5\), its change is \(3, 4\)"):
        check_patch(module, WeightPatch({"0.weight": LowRank(factor.up, factor.down[:, :4])}))
    with pytest.raises(ValueError, match="do not fit each other"):
        check_patch(module, WeightPatch({"0.weight": LowRank(factor.up[:, :1], factor.down)}))


def test_a_backward_pass_through_constants_leaves_the_weights_without_gradient(module):
    x = torch.ones(1, 5, requires_grad=True)
    call_with(module, constants(module), x).sum().backward()
    assert x.grad is not None and module[0].weight.grad is None


def test_only_what_a_backward_pass_must_not_touch_becomes_a_constant(module):
    assert set(constants(module)) == {name for name, _ in module.named_parameters()}
    module.requires_grad_(False)
    assert constants(module) == {}
    with torch.inference_mode():
        module.register_buffer("made", torch.ones(2))
    (copy,) = constants(module).values()
    assert not copy.is_inference() and torch.equal(copy, torch.ones(2))
