import json
from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.backbone import KeyValueWeight
from concept_atelier.core.erase.methods.uce import METHOD, UceSettings
from concept_atelier.core.erase.parts.concept_vectors import concept_rows, paired, vectors
from concept_atelier.core.erase.parts.requests import pair_anchors
from concept_atelier.core.erase.parts.sizes import relative_changes


def pair(backbone, concept, anchor, mode, templates=("{}",), combine="average"):
    """The vectors of a concept and, row by row, of its anchor, each text encoded on its own."""
    ours, theirs = (concept_rows(backbone, text, mode, templates) for text in (concept, anchor))
    return paired(ours, theirs, combine)


def edited(backbone, erasure):
    """Name to W0 + strength * change, float64."""
    return {
        weight.name: weight.weight.double() + erasure.strength * erasure.factors[weight.name].dense().double()
        for weight in backbone.key_value_weights()
        if weight.name in erasure.factors
    }


def test_equals_the_dense_solution_for_every_projection(lab_backbone):
    concepts, anchors, preserve = ["cat", "rocket"], ["dog", ""], ["crab", "bell"]
    settings = UceSettings(erase_scale=2.0, preserve_scale=0.5, damping=0.1)
    found = edited(lab_backbone, METHOD.erase(lab_backbone, concepts, anchors, preserve, settings))
    pairs = [pair(lab_backbone, c, a, "last_subject") for c, a in zip(concepts, anchors, strict=True)]
    c, g = (torch.cat(rows).T for rows in zip(*pairs, strict=True))
    p = torch.cat([vectors(lab_backbone, text, "last_subject") for text in preserve]).T
    a = 0.1 * torch.eye(192, dtype=torch.float64) + 2 * c @ c.T + 0.5 * p @ p.T
    assert len(found) == len(lab_backbone.key_value_weights()) > 0
    for weight in lab_backbone.key_value_weights():
        w0 = weight.weight.double()
        b = 0.1 * w0 + 2 * (w0 @ g) @ c.T + 0.5 * (w0 @ p) @ p.T
        torch.testing.assert_close(found[weight.name], b @ torch.linalg.inv(a), atol=1e-6, rtol=1e-5)


def test_the_erased_word_is_read_as_its_anchor_and_a_preserved_word_as_before(lab_backbone):
    settings = UceSettings(damping=1e-4)
    found = edited(lab_backbone, METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], settings))
    cat, dog = pair(lab_backbone, "cat", "dog", "last_subject")
    crab = vectors(lab_backbone, "crab", "last_subject")
    for weight in lab_backbone.key_value_weights():
        w0, w = weight.weight.double(), found[weight.name]
        assert (w @ cat.T - w0 @ dog.T).norm() < 1e-3 * (w0 @ (cat - dog).T).norm()
        assert (w @ crab.T - w0 @ crab.T).norm() < 1e-3 * (w0 @ crab.T).norm()


class Counting:
    """The lab model; notes every sentence that its text encoder is given, in its order."""

    def __init__(self, backbone):
        self.backbone, self.sentences = backbone, []

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def encode_text(self, texts, placeholders=None):
        self.sentences += texts
        return self.backbone.encode_text(texts, placeholders)

    def encode_beginnings(self, texts, length, placeholders=None):
        self.sentences += texts
        return self.backbone.encode_beginnings(texts, length, placeholders)


MANY = [f"{a}{b}" for a in ("red ", "blue ", "green ") for b in ("crab", "bell", "boat", "tree", "shoe", "frog", "key")]


@pytest.mark.parametrize("preset", METHOD.presets)
def test_many_at_once_are_as_one_at_a_time(lab_backbone, preset):
    """The dense solution from vectors that were encoded one by one; a word that is preserved twice is among them."""
    pairs = [("cat", "dog"), ("rocket", ""), ("quartz xylophone", "dog")]
    preserve, settings = [*MANY, "dog", "red crab"], replace(METHOD.preset(preset), rank_tolerance=0.0)
    how = (settings.token_mode, settings.templates, settings.combine)
    rows = [pair(lab_backbone, *texts, *how) for texts in pairs]
    c, g = (torch.cat(parts).T for parts in zip(*rows, strict=True))
    kept = [vectors(lab_backbone, text, *how) for text in preserve]
    p = torch.cat([*kept, vectors(lab_backbone, "", "all")] if settings.preserve_unconditional else kept).T
    a = settings.damping * torch.eye(192, dtype=torch.float64) + c @ c.T + p @ p.T
    erasure = METHOD.erase(lab_backbone, *map(list, zip(*pairs, strict=True)), preserve, settings)
    for weight in lab_backbone.key_value_weights():
        change = weight.weight.double() @ (g - c) @ c.T @ torch.linalg.inv(a)
        found = erasure.factors[weight.name].dense().double()
        assert (found - change).norm() < 1e-4 * change.norm()


def test_every_text_is_encoded_once(lab_backbone):
    counting = Counting(lab_backbone)
    METHOD.erase(counting, ["cat", "rocket", "boat"], ["dog", "", "dog"], [*MANY, "dog", *MANY])
    assert sorted(counting.sentences) == sorted(["cat", "rocket", "boat", "dog", "", *MANY])


def test_steps_are_reported_and_may_stop_it(lab_backbone):
    steps = []
    METHOD.erase(lab_backbone, ["cat", "rocket"], "dog", MANY, on_step=lambda done, total: steps.append((done, total)))
    total = 2 + 1 + len(MANY) + 1
    assert steps == [(done, total) for done in range(1, total + 1)]

    def stop(done, total):
        raise InterruptedError

    counting = Counting(lab_backbone)
    with pytest.raises(InterruptedError):
        METHOD.erase(counting, ["cat", "rocket"], "dog", MANY, on_step=stop)
    assert len(counting.sentences) < 2 + 1 + len(MANY)


@pytest.mark.parametrize("projections, roles", [("key", {"key"}), ("value", {"value"}), ("both", {"key", "value"})])
def test_keys_values_or_both(lab_backbone, projections, roles):
    erasure = METHOD.erase(lab_backbone, ["cat"], settings=UceSettings(projections=projections))
    role = {weight.name: weight.role for weight in lab_backbone.key_value_weights()}
    assert {role[name] for name in erasure.factors} == roles


def test_strength_is_a_multiplier_of_the_same_factors(lab_backbone):
    one, two = (METHOD.erase(lab_backbone, ["cat"], strength=strength) for strength in (1.0, -0.5))
    assert two.strength == -0.5
    for name, factor in one.factors.items():
        assert torch.equal(factor.dense(), two.factors[name].dense())


def test_the_patched_model_is_linear_in_strength_and_unchanged_at_zero(lab_backbone, lab_model, lab_clip):
    from concept_atelier.host.adapters import backbone_of
    from concept_atelier.host.shared.weights.weight_patches import WeightPatch

    erasure = METHOD.erase(lab_backbone, ["cat"], "dog")

    def weights(strength):
        patched = backbone_of(lab_model.with_patch(WeightPatch(erasure.factors, strength)), lab_clip)
        return torch.cat([weight.weight.flatten() for weight in patched.key_value_weights()])

    base = torch.cat([weight.weight.flatten() for weight in lab_backbone.key_value_weights()])
    assert torch.equal(weights(0.0), base)
    torch.testing.assert_close(weights(2.0) - base, 2 * (weights(1.0) - base), atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(weights(-1.0) - base, base - weights(1.0), atol=1e-6, rtol=1e-3)
    assert not torch.equal(weights(1.0), base)


def test_the_small_model_preset_keeps_the_rank_below_the_number_of_rows(lab_backbone):
    settings = METHOD.preset("small")
    erasure = METHOD.erase(lab_backbone, ["cat", "rocket", "bell"], "dog", ["crab"], settings)
    rank = int(erasure.metadata["rank"])
    rows = len(vectors(lab_backbone, "cat", settings.token_mode, settings.templates))
    assert rank < 3 * rows
    assert {factor.down.shape[0] for factor in erasure.factors.values()} == {rank}
    assert float(erasure.metadata["relative_error"]) <= settings.rank_tolerance


@pytest.mark.parametrize(
    "change",
    [
        {"token_mode": "all"},
        {"templates": ("a photo of {}",)},
        {"templates": ("{}", "a {}"), "combine": "separate"},
        {"erase_scale": 2.0},
        {"preserve_scale": 2.0},
        {"damping": 2.0},
        {"preserve_unconditional": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_matters(lab_backbone, change):
    plain = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"])
    changed = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], replace(UceSettings(), **change))
    name = next(iter(plain.factors))
    assert not torch.allclose(plain.factors[name].dense(), changed.factors[name].dense(), rtol=1e-3)


def test_the_unconditional_prompt_moves_less_when_preserved(lab_backbone):
    def moved(keep):
        settings = UceSettings(token_mode="from_subject_to_end", preserve_unconditional=keep)
        change = METHOD.erase(lab_backbone, ["cat"], "dog", settings=settings).factors
        empty = vectors(lab_backbone, "", "all").float()
        return sum(float((factor.dense() @ empty.T).norm()) for factor in change.values())

    assert moved(True) < 0.8 * moved(False)


def test_projections_of_another_width_are_left_alone_and_none_at_all_is_an_error(lab_backbone):
    class Wider:
        """The lab model with some projections that read something else."""

        def __init__(self, keep):
            self.keep = keep

        def __getattr__(self, name):
            return getattr(lab_backbone, name)

        def key_value_weights(self):
            other = KeyValueWeight("image.to_k.weight", "key", torch.ones(8, 100))
            return (*lab_backbone.key_value_weights()[: self.keep], other)

    assert "image.to_k.weight" not in METHOD.erase(Wider(4), ["cat"]).factors
    assert len(METHOD.erase(Wider(4), ["cat"]).factors) == 4
    with pytest.raises(ValueError, match=r"text has width 192.*\[100\]"):
        METHOD.erase(Wider(0), ["cat"])


def test_runs_under_inference_mode_and_changes_nothing(lab_backbone):
    before = [weight.weight.clone() for weight in lab_backbone.key_value_weights()]
    plain = METHOD.erase(lab_backbone, ["cat"], "dog")
    with torch.inference_mode():
        inside = METHOD.erase(lab_backbone, ["cat"], "dog")
    name = next(iter(plain.factors))
    assert torch.equal(plain.factors[name].dense(), inside.factors[name].dense())
    assert all(map(torch.equal, before, (weight.weight for weight in lab_backbone.key_value_weights())))


def test_metadata_says_what_was_done(lab_backbone):
    metadata = METHOD.erase(lab_backbone, ["cat "], ["dog"], ["crab"]).metadata
    assert json.loads(metadata["concepts"]) == ["cat"] and json.loads(metadata["anchors"]) == ["dog"]
    assert json.loads(metadata["preserve"]) == ["crab"] and json.loads(metadata["settings"])["damping"] == 0.5
    assert all(isinstance(value, str) for value in metadata.values())


def test_one_anchor_serves_all_and_a_list_is_matched():
    assert pair_anchors(["a", "b"], "x") == [("a", "x"), ("b", "x")]
    assert pair_anchors(["a", "b"], ["x"]) == [("a", "x"), ("b", "x")]
    assert pair_anchors(["a", "b"], ["x", ""]) == [("a", "x"), ("b", "")]
    with pytest.raises(ValueError, match="3 concepts and 2 anchors; give one anchor for all concepts"):
        pair_anchors(["a", "b", "c"], ["x", "y"])


@pytest.mark.parametrize(
    "given, message",
    [
        ({"concepts": []}, "at least one concept"),
        ({"concepts": ["cat", " "]}, "leave none empty"),
        ({"concepts": ["cat", "Cat "]}, "listed twice: cat"),
        ({"concepts": ["a  Cat"], "preserve": ["a cat"]}, "to be erased and to be preserved"),
        ({"concepts": ["cat"], "anchors": "CAT"}, "the anchor is the concept itself"),
        ({"concepts": ["cat"], "strength": float("nan")}, "strength must be a finite number"),
        ({"concepts": ["cat " * 30_000]}, "shorten it"),
    ],
)
def test_bad_requests_are_refused(lab_backbone, given, message):
    with pytest.raises(ValueError, match=message):
        METHOD.erase(lab_backbone, **given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"damping": 0.0},
        {"damping": float("nan")},
        {"erase_scale": 0.0},
        {"preserve_scale": -1.0},
        {"rank_tolerance": 1.0},
        {"max_rank": -1},
        {"templates": ()},
        {"projections": "query"},
    ],
    ids=str,
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        UceSettings(**wrong)


def test_every_setting_has_help():
    assert all(field.metadata["help"] for field in fields(UceSettings))


def test_relative_changes_are_those_of_the_dense_weights(lab_backbone):
    erasure = METHOD.erase(lab_backbone, ["cat", "rocket"], strength=-0.5)
    found, weights = edited(lab_backbone, erasure), lab_backbone.key_value_weights()
    changes = relative_changes(erasure, lab_backbone)
    assert set(changes) == set(erasure.factors)
    for weight in weights:
        moved = (found[weight.name] - weight.weight.double()).norm() / weight.weight.double().norm()
        assert changes[weight.name] == pytest.approx(float(moved), rel=1e-4) and moved > 0
    assert not any(relative_changes(replace(erasure, strength=0.0), lab_backbone).values())
