"""The change that belongs to tokens: on a MODEL, in previews, and the same from its file."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.types import LowRank
from concept_atelier.host.adapters import backbone_of, with_adapter
from concept_atelier.host.jobs.learn.token_previews import draw_tokens
from concept_atelier.host.workflow.stock import LoraLoaderModelOnly
from concept_atelier.nodes import SaveAdapterAsLora


@pytest.fixture
def tuned(tokens, lab_backbone, generator):
    """Tokens with a change of one weight in every role and kind."""
    weights = {(w.kind, w.role): w for w in lab_backbone.attention_weights()}
    factors = {
        w.name: LowRank(
            0.2 * torch.randn(w.shape[0], 2, generator=generator), torch.randn(2, w.shape[1], generator=generator)
        )
        for w in weights.values()
    }
    return replace(tokens, adapter=factors)


@pytest.fixture
def predict(encode, generator):
    from concept_atelier.core.backbone import Conditioning

    given = torch.randn(1, 4, 8, 12, generator=generator), torch.tensor([300]), Conditioning(encode("a cat")[0][0])

    def go(model):
        with torch.no_grad():
            return backbone_of(model).predict_noise(*given)

    return go


def test_on_a_model_it_is_what_training_computes_with(sockets, tuned, encode):
    from concept_atelier.core.backbone import Conditioning

    given = torch.ones(1, 4, 8, 12), torch.tensor([300]), Conditioning(encode("a cat")[0][0])
    backbone = backbone_of(sockets["model"])
    with torch.no_grad():
        plain = backbone.predict_noise(*given)
        with backbone.adapted(tuned.adapter):
            inside = backbone.predict_noise(*given)
        outside = backbone_of(with_adapter(sockets["model"], tuned)).predict_noise(*given)
    torch.testing.assert_close(inside, outside)
    assert (inside - plain).abs().max() > 1e-3


def test_tokens_that_stand_alone_leave_the_model_as_it_is(sockets, tokens, predict):
    assert predict(with_adapter(sockets["model"], tokens)).equal(predict(sockets["model"]))


def test_strength_scales_it(sockets, tuned, predict):
    assert predict(with_adapter(sockets["model"], tuned, 0.0)).equal(predict(sockets["model"]))


def test_the_file_predicts_what_the_tuned_model_predicts(call, sockets, tuned, predict):
    name = call(SaveAdapterAsLora, tokens=tuned, name="mine")[0]
    loaded = call(LoraLoaderModelOnly, model=sockets["model"], lora_name=name, strength_model=1.0)[0]
    torch.testing.assert_close(predict(loaded), predict(with_adapter(sockets["model"], tuned)), atol=1e-6, rtol=1e-6)
    changes = loaded.patches[0].factors
    assert set(changes) == set(tuned.adapter)
    for name, change in changes.items():
        assert change.up.equal(tuned.adapter[name].up) and change.down.equal(tuned.adapter[name].down)


def test_previews_show_tokens_with_their_change(sockets, tuned, tokens):
    backbone = backbone_of(**sockets)
    with torch.no_grad():
        plain, changed = (draw_tokens(backbone, given, "a photo of {}", (64, 64)) for given in (tokens, tuned))
    assert plain.tobytes() != changed.tobytes()


def test_tokens_without_a_change_and_broken_ones_are_refused(call, tokens, tuned, files_below):
    with pytest.raises(ValueError, match="no LoRA to save"):
        call(SaveAdapterAsLora, tokens=tokens)
    name, factor = next(iter(tuned.adapter.items()))
    broken = replace(tuned, adapter={name: LowRank(factor.up * float("nan"), factor.down)})
    with pytest.raises(ValueError, match="not finite"):
        call(SaveAdapterAsLora, tokens=broken)
    assert files_below() == []


@pytest.mark.parametrize("name", ["../up", "", "con", "a:b"])
def test_bad_names_are_refused_before_running_and_made_safe_if_linked(call, tuned, here, name):
    assert "name" in SaveAdapterAsLora.validate_inputs(name=name)
    result = call(SaveAdapterAsLora, tokens=tuned, name=name)
    assert here.list_models("loras") == [result[0]] and result[0] in result.ui.as_dict()["text"][0]
