"""What every method of erasing promises; a new method is tested here by being registered."""

import functools
import json
from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.backbone import KeyValueWeight
from concept_atelier.core.erase.parts.settings import ClosedFormSettings
from concept_atelier.core.erase.registry import METHODS

QUICK = {"batch": 1, "side": 64, "sampling_steps": 2, "visits": 2, "drawn": 1}
QUICK |= {"templates": ("{}", "a photo of a {}"), "neighbours": 8, "beyond": 32, "searched": 4, "related": 2}

CLOSED_FORMS = [name for name, method in METHODS.items() if isinstance(method.preset("small"), ClosedFormSettings)]

every_method = pytest.mark.parametrize("name", METHODS)
every_closed_form = pytest.mark.parametrize("name", CLOSED_FORMS)

TOGETHER = ["cat", "neon style", "bright red", "<1>"]


def settings_of(name, preset="small", steps=2):
    """A preset, cut to a few sentences and random vectors, and to a few steps on small pictures where it has steps:
    HiRM, and methods that train."""
    settings = METHODS[name].preset(preset)
    known = {entry.name for entry in fields(settings)}
    quick = QUICK | {"steps": steps, "warm_up": steps, "closed_form": "paper"}
    return replace(settings, **{key: value for key, value in quick.items() if key in known})


@pytest.fixture(scope="module")
def made(lab_backbone):
    """The erasure of a cat by a method and a preset, made once for all tests that read it."""

    @functools.cache
    def make(name, preset):
        return METHODS[name].erase(lab_backbone, ["cat"], "dog", ["crab"], settings_of(name, preset))

    return make


@pytest.fixture(scope="module")
def together(lab_backbone):
    """Several things erased together by a method and a preset, once for all tests that read it: the erasure, and the
    steps that it reported."""
    rows = torch.randn(2, lab_backbone.text_widths["clip_l"], generator=torch.Generator().manual_seed(0))

    @functools.cache
    def make(name, preset):
        steps, kept = [], ["crab", "<1> boat" if name != "speed" else "boat"]
        given = (lab_backbone, TOGETHER, ["dog", "", "", "cake"], kept, settings_of(name, preset, steps=1))
        asked = {"placeholders": {"<1>": {"clip_l": rows}}, "on_step": lambda done, total: steps.append((done, total))}
        return METHODS[name].erase(*given, **asked), steps

    return make


def changes_of(erasure):
    text = {f"{encoder}.{key}": change for encoder, of in erasure.text.items() for key, change in of.items()}
    return {key: change.dense() for key, change in {**erasure.factors, **text}.items()}


@every_method
def test_a_record_says_what_it_is(name):
    method = METHODS[name]
    assert method.name == name and method.title and method.help.endswith(".")
    assert next(iter(method.presets)) == "paper" and "small" in method.presets
    assert all(settings.cost for settings in method.presets.values())


@every_method
def test_an_erasure_says_what_it_was_asked_and_comes_out_the_same_twice(name, lab_backbone, made):
    before, one = weights_of(lab_backbone), made(name, "small")
    again = METHODS[name].erase(lab_backbone, ["cat"], "dog", ["crab"], settings_of(name), -0.5)
    assert (one.strength, again.strength) == (1, -0.5)  # which changes nothing else
    assert again.family == "lab" and again.metadata["method"] == name
    assert [json.loads(again.metadata[key]) for key in ("concepts", "anchors")] == [["cat"], ["dog"]]
    first, second = map(changes_of, (one, again))
    assert first or one.guards
    assert all(change.isfinite().all() and change.equal(second[key]) for key, change in first.items())
    assert torch.equal(weights_of(lab_backbone), before), "the model was changed"


@every_method
def test_what_cannot_be_erased_is_refused(name, lab_backbone):
    for concepts in ([], ["cat", "cat"], [""]):
        with pytest.raises(ValueError):
            METHODS[name].erase(lab_backbone, concepts)


def weights_of(backbone):
    """All that methods of erasing change, (n,)."""
    held = (*backbone.key_value_weights(), *backbone.text_weights())
    return torch.cat([weight.weight.flatten() for weight in held])


def erased_weights(model, clip, erasure):
    from concept_atelier.host.adapters import backbone_of, with_erasure, with_text_erasure

    return weights_of(backbone_of(with_erasure(model, erasure), with_text_erasure(clip, erasure)))


@every_method
@pytest.mark.parametrize("preset", ["paper", "small"])
def test_strength_zero_is_bit_equal_and_a_negative_one_amplifies(name, preset, lab_backbone, lab_model, lab_clip, made):
    base, erasure = weights_of(lab_backbone), made(name, preset)
    none, one, less = (
        erased_weights(lab_model, lab_clip, replace(erasure, strength=strength)) for strength in (0.0, 1.0, -0.5)
    )
    assert torch.equal(none, base) and not torch.equal(one, base)
    torch.testing.assert_close(less - base, (base - one) / 2, atol=1e-5, rtol=1e-2)


@pytest.mark.parametrize(
    ("name", "preset"), [(name, "small") for name in METHODS] + [(name, "paper") for name in CLOSED_FORMS]
)
def test_objects_styles_colours_and_learnt_tokens_are_erased_together(name, preset, together):
    erasure, _ = together(name, preset)
    assert json.loads(erasure.metadata["concepts"]) == TOGETHER
    changes = changes_of(erasure)
    assert changes and all(bool(change.isfinite().all()) for change in changes.values())
    assert all(float(change.norm()) > 0 for change in changes.values())


@every_method
@pytest.mark.parametrize("preset", ["paper", "small"])
def test_a_preserve_list_changes_the_edit_or_is_remarked_on(name, preset, lab_backbone, made):
    """Exactly one of them, but for RealEra's training, whose closed form alone may read the list."""
    settings, listed = settings_of(name, preset), made(name, preset)
    without = METHODS[name].erase(lab_backbone, ["cat"], "dog", (), settings)
    first, second = map(changes_of, (without, listed))
    differs = any(not torch.equal(change, second[key]) for key, change in first.items())
    said = [settings.preserve_note] if settings.preserve_note else []
    remarks = json.loads(listed.metadata.get("remarks", "[]"))
    assert [one for one in remarks if "preserve list" in one] == said and (differs or said)
    assert (name, preset) == ("realera_lora", "paper") or differs != bool(said)
    assert not any("preserve list" in one for one in json.loads(without.metadata.get("remarks", "[]")))


@every_method
def test_a_list_of_no_weight_has_no_effect_and_is_remarked_on(name, lab_backbone):
    settings = settings_of(name)
    weight = next((one for one in ("retain", "preserve_scale") if hasattr(settings, one)), None)
    if weight is None:
        pytest.skip(f"{name} has no weight for its list")
    off = {weight: 0.0, **({"surgery": 0.0} if hasattr(settings, "surgery") else {})}
    if hasattr(settings, "closed_form"):
        off["closed_form"] = "none"
    settings = replace(settings, **off)
    without, made = (METHODS[name].erase(lab_backbone, ["cat"], "dog", kept, settings) for kept in ((), ["crab"]))
    second = changes_of(made)
    assert all(torch.equal(change, second[key]) for key, change in changes_of(without).items())
    assert f"had no effect, because {weight} is 0" in made.metadata["remarks"]


@every_closed_form
def test_any_weights_that_read_the_text_are_edited(name, lab_backbone, generator):
    """A model may have one entry for its text instead of layers in a UNet."""

    class OneEntry:
        def __getattr__(self, attribute):
            return getattr(lab_backbone, attribute)

        def key_value_weights(self):
            entry = torch.randn(300, 192, generator=torch.Generator().manual_seed(0))
            return (KeyValueWeight("context_embedder.weight", "value", entry),)

    method = METHODS[name]
    erasure = method.erase(OneEntry(), ["cat"], "dog", ["crab"], settings_of(name))
    assert list(erasure.factors) == ["context_embedder.weight"]
    assert erasure.factors["context_embedder.weight"].shape == (300, 192)


@every_closed_form
def test_words_near_a_concept_are_kept_as_if_they_were_listed(name, lab_backbone):
    method, preset = METHODS[name], settings_of(name)
    given = lab_backbone, ["cat"], "dog"
    made = method.erase(*given, ["crab"], replace(preset, kept_words=3, kept_below=1.0))
    (said,) = (one for one in json.loads(made.metadata["remarks"]) if one.startswith("Kept beside your list: "))
    words = said.removeprefix("Kept beside your list: ").removesuffix(".").split(", ")
    assert len(words) == 3 and "cat" not in words and json.loads(made.metadata["preserve"]) == ["crab"]
    by_hand = method.erase(*given, ["crab", *words], preset)
    assert all(torch.equal(one.dense(), by_hand.factors[key].dense()) for key, one in made.factors.items())
    without = method.erase(*given, ["crab"], preset)
    assert any(not torch.equal(one.dense(), without.factors[key].dense()) for key, one in made.factors.items())


@every_method
def test_every_step_is_reported_and_may_stop_it(name, lab_backbone, together):
    _, steps = together(name, "small")
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))

    def stop(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        METHODS[name].erase(lab_backbone, ["cat"], "dog", ["crab"], settings_of(name, steps=1), on_step=stop)
