"""Offsets of heads over the lab model at random weights."""

import pytest
import torch

from concept_atelier.core.attention.probabilities import attend
from concept_atelier.core.surgery.begun import ScoutSettings
from concept_atelier.core.surgery.heads.offsets import (
    _offsets,
    as_skill,
    both,
    passes_of,
    scout_denoiser,
    scout_text,
)

HOW = ScoutSettings(draws=2, steps=2, side=64, guidance=4.0)
OTHERS = ["dog", "house"]


@pytest.fixture(scope="module")
def found(lab_backbone):
    passes = []
    offsets = scout_denoiser(lab_backbone, "cat", OTHERS, HOW, 0, passes.append)
    assert sum(passes) == passes_of(3, HOW)
    return offsets


def test_every_head_of_cross_attention_has_an_offset_and_a_score(lab_backbone, found):
    cross = [site for site in lab_backbone.attention_sites() if site.kind == "cross"]
    assert len(found.offsets) == len(cross)
    assert [len(of) for of in found.scores.values()] == [site.heads for site in cross]
    best = found.best(3)
    scores = [float(found.scores[name][head]) for name, head in best]
    assert scores == sorted(scores, reverse=True) and scores[0] == max(float(of.max()) for of in found.scores.values())
    assert found.numbers(3) == sum(found.offsets[name].shape[1] for name, _ in best)


def test_a_head_that_gives_more_for_one_word_leads_by_its_distance_in_standard_deviations(generator):
    """At 40 places, in 4 heads of 5 numbers, all words give the same but for the first number: half of the matched
    words give 0.5 more and half 0.5 less, and the concept gives 3 more in one head and 0.1 more in the others."""
    rows = torch.randn(1, 40, 4, 5, generator=generator).repeat(9, 1, 1, 1)
    rows[1:, ..., 0] += torch.tensor([0.5, -0.5]).repeat(4)[:, None, None]
    more = torch.tensor([0.1, 0.1, 3.0, 0.1])
    rows[0, ..., 0] += more
    found = _offsets("cat", {"layer": rows}, "lab")
    assert found.best(1) == [("layer", 2)]
    torch.testing.assert_close(found.scores["layer"], more / 0.5, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.offsets["layer"], more[:, None] * torch.eye(1, 5), rtol=1e-3, atol=1e-4)


def test_an_offset_behind_the_projection_is_the_same_as_one_before_it(lab_model, lab_clip, lab_backbone, found):
    from concept_atelier.host.adapters import backbone_of, weights_of, with_skill

    skill = as_skill(found, 2, 3.0, weights_of(lab_model))
    changed = backbone_of(with_skill(lab_model, None, skill)[0], lab_clip)
    chosen = found.best(2)
    outs = [weight.name for weight in lab_backbone.attention_weights() if weight.role == "out"]
    names = {site.name: name for site, name in zip(lab_backbone.attention_sites(), outs, strict=True)}

    def add(inputs):
        call = inputs.call
        given = attend(call.query, call.key, inputs.value, call.scale, call.bias).clone()
        for name, head in chosen:
            if names[call.site.name] == name:
                given[:, head] += 3.0 * found.offsets[name][head]
        return given

    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([500])
    text = lab_backbone.encode_text(["a dog"])
    with torch.no_grad(), lab_backbone.edit_attention(add):
        expected = lab_backbone.predict_noise(latent, time, text)
    with torch.no_grad():
        given, plain = changed.predict_noise(latent, time, text), lab_backbone.predict_noise(latent, time, text)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(given, plain, atol=1e-4)
    every = sum(len(of) for of in found.scores.values())
    assert as_skill(found, every + 9, 3.0, weights_of(lab_model)).metadata["heads"] == str(every)


def test_what_has_no_heads_of_cross_attention_is_refused(lab_transformer, lab_backbone):
    from concept_atelier.host.adapters import backbone_of

    with pytest.raises(ValueError, match="no layers of cross-attention"):
        scout_denoiser(backbone_of(*lab_transformer), "cat", OTHERS, HOW, 0)
    with pytest.raises(ValueError, match="at least 2"):
        scout_denoiser(lab_backbone, "cat", ["dog"], HOW, 0)


def test_heads_of_the_text_encoder_are_scouted_and_moved_by_their_offset(lab_model, lab_clip, lab_backbone, found):
    """What a head gives for the concept beside the others is what is added behind the projection."""
    from concept_atelier.host.adapters import backbone_of, weights_of, with_skill

    texts = []
    scouted = scout_text(lab_backbone, "cat", OTHERS, texts.append)
    with lab_backbone.text_layers() as layers, torch.no_grad():
        lab_backbone.encode_text(["a cat"])
    assert sum(texts) == 12 and len(scouted.offsets) == len(layers["clip_l"].heads) and scouted.of_text
    assert len({tuple(of.shape) for of in scouted.offsets.values()}) == 1
    name, head = next((one, at) for one, at in scouted.best(99) if "layers.0" in one)
    of_one = as_skill(scouted, 99, 2.0, weights_of(lab_model, lab_clip))
    model, clip = with_skill(lab_model, lab_clip, of_one)
    assert model is lab_model
    with backbone_of(model, clip).text_layers() as changed, torch.no_grad():
        backbone_of(model, clip).encode_text(["a cat"])
    with lab_backbone.text_outputs({"clip_l": "encoder.layers.0.self_attn.out_proj"}) as given, torch.no_grad():
        lab_backbone.encode_text(["a cat"])
    weight = weights_of(lab_model, lab_clip)[name]
    attended = given["clip_l"] + 2.0 * weight @ scouted.offsets[name].flatten()
    torch.testing.assert_close(changed["clip_l"].heads[0], layers["clip_l"].heads[0])
    moved = backbone_of(model, clip)
    with moved.text_outputs({"clip_l": "encoder.layers.0.self_attn.out_proj"}) as now, torch.no_grad():
        moved.encode_text(["a cat"])
    torch.testing.assert_close(now["clip_l"], attended, rtol=1e-4, atol=1e-5)
    every = both(found, scouted)
    assert len(every.scores) == len(found.scores) + len(scouted.scores) and every.of_text and not found.of_text
