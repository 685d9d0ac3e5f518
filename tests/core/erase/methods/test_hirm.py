"""HiRM: the states of a concept reach their targets, by the first layer alone, and other texts stay."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.erase.methods.hirm import METHOD, HirmSettings

SMALL = METHOD.preset("small")
LAST = {"clip_l": "encoder.layers.2.self_attn.out_proj"}


def states(backbone, text, changes=None):
    """(L, d) of the last layer's attention, and (L, D) of what the denoiser reads."""
    with torch.no_grad(), backbone.text_changed(changes or {}), backbone.text_outputs(LAST) as found:
        context = backbone.encode_text([text]).context[0]
    return found["clip_l"][0], context


def test_only_the_first_layer_changes_weights_and_biases(lab_backbone):
    text = METHOD.erase(lab_backbone, ["cat"], settings=HirmSettings(steps=1)).text
    assert len(text["clip_l"]) == 12 and all(name.startswith("encoder.layers.0.") for name in text["clip_l"])


def test_with_an_anchor_the_concept_gives_the_states_of_the_anchor(lab_backbone):
    settings = HirmSettings(steps=120, rate=3e-3)
    changes = METHOD.erase(lab_backbone, ["cat"], "dog", settings=settings).text
    wanted, before = states(lab_backbone, "dog")[0], states(lab_backbone, "cat")[0]
    after = states(lab_backbone, "cat", changes)[0]
    assert (after - wanted).norm() < 0.2 * (before - wanted).norm()


def test_without_one_it_is_led_to_random_states_of_the_length_asked_for(lab_backbone):
    settings = HirmSettings(steps=120, rate=3e-3, norm=2.0)
    changes = METHOD.erase(lab_backbone, ["cat"], settings=settings).text
    after = states(lab_backbone, "cat", changes)[0]
    drawn = torch.rand(after.shape, generator=torch.Generator().manual_seed(42))
    wanted = 2.0 * drawn / drawn.norm(dim=-1, keepdim=True)
    before = states(lab_backbone, "cat")[0]
    assert (after - wanted).norm() < 0.6 * (before - wanted).norm()
    toward = torch.nn.functional.cosine_similarity(after, wanted, dim=-1)
    assert float(toward.mean()) > 0.8


def test_the_empty_text_may_be_the_target_instead(lab_backbone):
    settings = HirmSettings(steps=100, rate=3e-3, without_anchor="empty")
    changes = METHOD.erase(lab_backbone, ["cat"], settings=settings).text
    wanted, before = states(lab_backbone, "")[0], states(lab_backbone, "cat")[0]
    assert (states(lab_backbone, "cat", changes)[0] - wanted).norm() < 0.3 * (before - wanted).norm()


def test_preserved_texts_and_the_empty_one_stay_nearer_with_the_term(lab_backbone):
    settings = replace(SMALL, templates=("{}",), steps=20)

    def moved(retain):
        changes = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], replace(settings, retain=retain)).text
        texts = ("crab", "")
        return sum(float((states(lab_backbone, t, changes)[1] - states(lab_backbone, t)[1]).norm()) for t in texts)

    assert moved(100.0) < 0.5 * moved(0.0)


def test_each_of_several_concepts_weighs_as_much_as_one_alone(lab_backbone):
    settings = replace(SMALL, templates=("{}",), steps=1, retain=0.0)

    def loss(*concepts):
        return float(METHOD.erase(lab_backbone, list(concepts), settings=settings).metadata["loss_first"])

    assert loss("cat", "crab") == pytest.approx(loss("cat") + loss("crab"), rel=1e-4)


def test_position_zero_is_part_of_the_loss_or_not(lab_backbone):
    """After a few steps its own error has fallen further where it was part of the loss."""
    drawn = torch.rand(77, 192, generator=torch.Generator().manual_seed(42))[0]

    def error(skip):
        settings = HirmSettings(steps=30, rate=3e-3, norm=2.0, skip_start=skip)
        changes = METHOD.erase(lab_backbone, ["cat"], settings=settings).text
        return float((states(lab_backbone, "cat", changes)[0][0] - 2.0 * drawn / drawn.norm()).norm())

    assert error(False) < error(True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps must be 1 or more"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"retain": -1.0}, "retain must be 0 or more"),
        ({"without_anchor": "noise"}, "without_anchor must be one of random, empty"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        HirmSettings(**wrong)


def test_two_text_encoders_are_both_changed(two_towers):
    changes = METHOD.erase(two_towers, ["cat"], "dog", settings=replace(SMALL, steps=2, templates=("{}",))).text
    assert set(changes) == {"clip_l", "clip_g"} and len(changes["clip_g"]) == 12


def test_the_states_of_every_text_encoder_are_led_to_the_anchors(two_towers):
    layers = dict.fromkeys(("clip_l", "clip_g"), "encoder.layers.1.self_attn.out_proj")

    def read(text, changes):
        with torch.no_grad(), two_towers.text_changed(changes), two_towers.text_outputs(layers) as found:
            two_towers.encode_text([text])
        return {encoder: rows[0].clone() for encoder, rows in found.items()}

    settings = HirmSettings(steps=80, rate=1e-2)
    changes = METHOD.erase(two_towers, ["cat"], "dog", settings=settings).text
    wanted, before, after = read("dog", {}), read("cat", {}), read("cat", changes)
    for encoder in layers:
        left = (after[encoder] - wanted[encoder]).norm() / (before[encoder] - wanted[encoder]).norm()
        assert float(left) < 0.5
