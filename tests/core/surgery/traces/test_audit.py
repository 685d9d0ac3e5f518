"""Whether a concept is still inside: known answers over the lab model at random weights."""

import pytest
import torch

from concept_atelier.core.surgery.begun import ScoutSettings
from concept_atelier.core.surgery.traces.audit import InsideAudit, Way, audit, passes_of, typos
from concept_atelier.core.surgery.traces.vectors import TraceSettings, edited, find_vectors

OTHERS = ["dog", "house", "rocket"]
QUICK = ScoutSettings(draws=1, steps=2, side=64, guidance=4.0)


@pytest.fixture(scope="module")
def vectors(lab_backbone):
    return find_vectors(lab_backbone, "cat", OTHERS, TraceSettings(count=3, rounds=1)).vectors


@pytest.fixture(scope="module")
def by_projections(lab_backbone, lab_model, lab_clip):
    """After UCE, which changes what the denoiser reads."""
    from concept_atelier.core.erase.registry import METHODS
    from concept_atelier.host.adapters import backbone_of, with_erasure

    erasure = METHODS["uce"].erase(lab_backbone, ["cat"], ["dog"], OTHERS[1:], METHODS["uce"].preset("small"), 1.0)
    return backbone_of(with_erasure(lab_model, erasure), lab_clip)


def test_nothing_is_erased_from_the_model_itself(lab_backbone, vectors):
    found = audit(lab_backbone, lab_backbone, "cat", OTHERS, [("tabby", "other word")], vectors, drawing=QUICK)
    assert found.predicted == pytest.approx(1, abs=1e-4)
    assert found.text == pytest.approx(1, abs=1e-4) and found.traces == 1 and found.kept == pytest.approx(1, abs=1e-4)
    assert found.ways[0].after == pytest.approx(1, abs=1e-4) and found.ways[0].verdict == "open"
    assert found.ways[1].before == pytest.approx(found.ways[1].after, abs=1e-4)
    assert "not erased" in found.verdict and found.chance < 0.9


def test_an_erasure_of_projections_leaves_the_text_encoder_as_it_was(lab_backbone, by_projections, vectors):
    found = audit(lab_backbone, by_projections, "cat", OTHERS, vectors=vectors, drawing=QUICK)
    assert found.text == pytest.approx(1, abs=1e-4) and found.traces == 1
    assert found.ways[0].after < 0.5 and "denoiser no longer reads it" in found.verdict


@pytest.mark.parametrize(("scale", "moved"), [(-1.0, 2.0), (0.5, 0.5)], ids=["turned around", "shorter"])
def test_changed_vectors_are_seen(lab_backbone, lab_model, lab_clip, vectors, scale, moved):
    from concept_atelier.core.types import Erasure
    from concept_atelier.host.adapters import backbone_of, with_text_erasure

    change = edited(lab_backbone, vectors[:1], "scale", scale, torch.Generator())
    clip = with_text_erasure(lab_clip, Erasure({}, 1.0, "lab", text=change))
    found = audit(lab_backbone, backbone_of(lab_model, clip), "cat", OTHERS, vectors=vectors, drawing=QUICK)
    assert found.moves.tolist() == pytest.approx([moved, 0, 0], abs=1e-4) and found.traces == pytest.approx(2 / 3)


def test_typos_are_near_their_word():
    assert typos("rocket") == ["rocet", "rokcet", "rockket"]
    assert typos("a tabby cat") == ["a taby cat", "a tbaby cat", "a tabbby cat"]
    assert typos("ox") == []


@pytest.mark.parametrize(
    ("text", "read", "predicted", "said"),
    [
        (0.9, 0.6, 0.9, "not erased"),
        (0.9, 0.1, 0.9, "back by another route"),
        (0.9, 0.6, 0.1, "lies after the keys and values"),
        (0.9, 0.3, 0.1, "reads it only in part"),
        (0.9, 0.1, 0.1, "no longer reads it"),
        (0.4, 0.6, 0.1, "says the concept only in part"),
        (0.1, 0.1, 0.1, "gone from the text encoder"),
    ],
)
def test_the_sentence_calls_gone_only_what_is(text, read, predicted, said):
    nothing = torch.zeros(0)
    found = InsideAudit("cat", nothing, text, (Way("cat", "name", 1.0, read),), 0.1, 1.0, predicted)
    assert said in found.verdict


def test_a_model_that_learnt_the_concept_anew_is_seen(lab_backbone, by_projections):
    """Stands for a change of other weights than keys and values that makes UCE's model predict as before."""
    passes = []

    class Relearnt:
        """Reads as UCE's model and predicts as the original."""

        def __getattr__(self, name):
            return getattr(by_projections, name)

        predict_noise = staticmethod(lab_backbone.predict_noise)

    found = audit(lab_backbone, Relearnt(), "cat", OTHERS, drawing=QUICK, on_pass=passes.append)
    assert found.predicted == pytest.approx(1, abs=1e-4) and "back by another route" in found.verdict
    assert sum(passes) == passes_of(len(OTHERS), QUICK)


def test_too_few_matched_words_are_refused(lab_backbone):
    with pytest.raises(ValueError, match="at least 2"):
        audit(lab_backbone, lab_backbone, "cat", ["dog"])
