"""Weights of text encoders headless: names, changes in force for a while or for good, and outputs of modules."""

import pytest
import torch

from concept_atelier.core.types import FullChange, LowRank
from concept_atelier.host.headless.backbone import DiffusersBackbone
from concept_atelier.host.headless.text_weights import text_weights, with_text_changes

NAME, BIAS = "encoder.layers.0.mlp.fc1.weight", "encoder.layers.1.self_attn.out_proj.bias"


@pytest.fixture
def backbone(lab_clip):
    return DiffusersBackbone(clip=lab_clip)


@pytest.fixture
def changes(backbone, generator):
    shapes = {one.name: one.weight.shape for one in backbone.text_weights()}
    change = torch.randn(shapes[NAME], generator=generator) * 0.1
    return {"clip_l": {NAME: FullChange(change), BIAS: FullChange(torch.ones(shapes[BIAS][0], 1))}}


def encoded(backbone):
    with torch.no_grad():
        return backbone.encode_text(["a cat"]).context


def test_every_layer_has_its_projections_and_feed_forward_weights(lab_clip, lab_modules):
    found = text_weights(lab_clip)
    assert len(found) == 3 * 6 * 2 and {one.encoder for one in found} == {"clip_l"}
    assert found[0].name.startswith("encoder.layers.0.") and not any("embed" in one.name for one in found)
    state = lab_modules.text_encoder.state_dict()
    assert all(any(key.endswith(one.name) and torch.equal(state[key], one.weight) for key in state) for one in found)


def test_changes_hold_inside_their_context_alone_and_are_those_of_a_copy_for_good(backbone, lab_clip, changes):
    plain = encoded(backbone)
    with backbone.text_changed(changes):
        inside = encoded(backbone)
        with backbone.text_changed({"clip_l": {NAME: LowRank(torch.ones(768, 1), torch.arange(192.0)[None] / 192)}}):
            assert not torch.allclose(encoded(backbone), inside, atol=1e-3)
        assert torch.equal(encoded(backbone), inside)
    assert torch.equal(encoded(backbone), plain) and not torch.allclose(inside, plain, atol=1e-3)
    copies = {s: DiffusersBackbone(clip=with_text_changes(lab_clip, changes, s, "other")) for s in (0.0, 1.0)}
    assert torch.equal(encoded(copies[1.0]), inside) and torch.equal(encoded(copies[0.0]), plain)
    moved = {one.name: one.weight for one in copies[1.0].text_weights()}
    base = {one.name: one.weight for one in backbone.text_weights()}
    torch.testing.assert_close(moved[BIAS] - base[BIAS], torch.ones_like(base[BIAS]))
    assert all(torch.equal(moved[name], base[name]) for name in base if name not in (NAME, BIAS))


def test_gradients_reach_the_changes_and_nothing_else(backbone, changes, lab_modules):
    leaf = changes["clip_l"][NAME].change.requires_grad_()
    with backbone.text_changed(changes):
        context = backbone.encode_text(["a cat"]).context
    (gradient,) = torch.autograd.grad(context.square().sum(), [leaf])
    assert float(gradient.norm()) > 0
    assert all(one.grad is None for one in lab_modules.text_encoder.parameters())


def test_outputs_of_a_module_are_its_own_and_the_hook_is_taken_off(backbone, hooks_left):
    """A bias that is raised by one raises them by one."""
    before, name = hooks_left(), "encoder.layers.2.self_attn.out_proj"
    raised = {"clip_l": {f"{name}.bias": FullChange(torch.ones(192, 1))}}
    with backbone.text_outputs({"clip_l": name}) as found, torch.no_grad():
        assert not found
        backbone.encode_text(["a cat", "a dog"])
        plain = found["clip_l"]
        with backbone.text_changed(raised):
            backbone.encode_text(["a cat", "a dog"])
    assert plain.shape == (2, 77, 192) and hooks_left() == before
    torch.testing.assert_close(found["clip_l"], plain + 1)


def test_layers_are_those_that_the_encoder_itself_gives(backbone, lab_modules, hooks_left):
    before, encoder = hooks_left(), lab_modules.text_encoder
    behind = {"clip_l": "encoder.layers.1.self_attn.out_proj"}
    with backbone.text_layers() as found, backbone.text_outputs(behind) as outputs, torch.no_grad():
        assert not found["clip_l"].states
        backbone.encode_text(["a cat"])
        backbone.encode_text(["a dog", "a cat"])
    layers = found["clip_l"]
    assert hooks_left() == before
    ids = lab_modules.tokenizer(["a dog", "a cat"], padding="max_length", max_length=77, return_tensors="pt")
    expected = encoder(ids.input_ids, output_hidden_states=True).hidden_states
    assert len(layers.states) == len(expected)
    for own, theirs in zip(layers.states, expected, strict=True):
        torch.testing.assert_close(own, theirs)
    projection = encoder.get_submodule(behind["clip_l"])
    assert layers.heads[1].shape[2] > 1
    torch.testing.assert_close(projection(layers.heads[1].flatten(2)), outputs["clip_l"])


@pytest.fixture
def hooks_left(lab_modules):
    modules = lab_modules.text_encoder.modules
    return lambda: sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_l": {"encoder.layers.7.mlp.fc1.weight": FullChange(torch.zeros(768, 192))}}, "has no"),
        ({"clip_g": {NAME: FullChange(torch.zeros(768, 192))}}, "has no clip_g"),
        ({"clip_l": {NAME: FullChange(torch.zeros(3, 192))}}, r"is \(768, 192\) here"),
    ],
)
def test_changes_of_another_encoder_are_refused(backbone, given, message):
    with pytest.raises(ValueError, match=message), backbone.text_changed(given):
        raise AssertionError("never gets here")


def test_modules_that_are_not_there_are_refused(backbone):
    module = {"clip_l": "encoder.layers.9.self_attn.out_proj"}
    with pytest.raises(ValueError, match="no clip_l encoder.layers.9"), backbone.text_outputs(module):
        raise AssertionError("never gets here")
