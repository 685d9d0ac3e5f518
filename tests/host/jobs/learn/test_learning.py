"""What learning tells its host, and start words."""

import pytest
import torch

from concept_atelier.core.learn.registry import METHODS
from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.jobs.learn.learning import UNSET, TrainingReporter, parse_words, preset_names, settings_of
from concept_atelier.host.shared import progress


@pytest.fixture
def tokens(lab_backbone):
    return ConceptTokens({"1": lab_backbone.word_vectors("q")}, "lab")


@pytest.mark.parametrize(("every", "drawn"), [(0, []), (2, [2, 3]), (50, [3])])
def test_previews_come_every_so_many_steps_and_at_the_end(lab_backbone, tokens, every, drawn):
    seen = []
    with progress.use(progress.Session(report=lambda *given: seen.append(given))):
        report = TrainingReporter(lab_backbone, "a {}", (16, 24), every, None)
        for step in (1, 2, 3):
            report(step, 3, 0.5, tokens)
    assert [given[:2] for given in seen] == [(1, 3), (2, 3), (3, 3)]
    assert [step for step, _, preview in seen if preview is not None] == drawn
    assert report.preview is (seen[-1][2] if drawn else None)


def test_a_preview_keeps_no_graph(lab_backbone, tokens):
    kept = []
    vectors = {"1": {"clip_l": tokens.vectors["1"]["clip_l"].clone().requires_grad_()}}
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(kept.append, lambda nothing: nothing):
        TrainingReporter(lab_backbone, "a {}", (16, 16), 1, None)(1, 1, 0.5, ConceptTokens(vectors, "lab"))
    assert kept == []


def test_a_stopped_session_stops_the_training(lab_backbone, tokens):
    with progress.use(progress.Session(stop=True)), pytest.raises(progress.InterruptedRun):
        TrainingReporter(lab_backbone, "a {}", (16, 16), 0, None)(1, 3, 0.5, tokens)


def test_start_words_with_and_without_brackets():
    assert parse_words(" 1 = fruit, <cat>=kitten ,", ["1", "cat"]) == {"1": "fruit", "cat": "kitten"}
    assert parse_words("", ["1"]) == parse_words(" , ", ["1"]) == {}
    assert parse_words("1=a=b", ["1"]) == {"1": "a=b"}


@pytest.mark.parametrize("text", ["fruit", "1=", "1 fruit"])
def test_entries_that_do_not_say_which_concept(text):
    with pytest.raises(ValueError, match="concept=word, separated by commas; got"):
        parse_words(text, ["1"])


def test_words_for_no_concept():
    with pytest.raises(ValueError, match="a concept '3'; there are 1, 2"):
        parse_words("3=fruit", ["1", "2"])


def test_class_words_are_called_so():
    with pytest.raises(ValueError, match="class words name a concept '3'"):
        parse_words("3=fruit", ["1"], "class words")


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_are_not_changed_leave_every_preset_as_it_is(method):
    for name, settings in METHODS[method].presets.items():
        assert name in preset_names()
        assert settings_of(method, name, UNSET) == settings


def test_inputs_that_are_changed_override_the_preset():
    settings = settings_of("conceptexpress", "faithful", {**UNSET, "steps": 7, "flip": 0.0, "template": "{} here"})
    assert (settings.steps, settings.flip, settings.template, settings.split) == (7, 0.0, "{} here", 5)


@pytest.mark.parametrize(
    ("method", "preset", "inputs", "message"),
    [
        ("cones", "lab", {"attention_weight": 0.5}, "cones has no attention_weight: leave it at -1"),
        ("cones", "faithful", {}, "no preset 'faithful'; it has paper, small"),
        ("conceptexpress", "lab", {"flip": 2.0}, "flip and final_rate must be in 0..1"),
    ],
)
def test_what_a_method_does_not_have(method, preset, inputs, message):
    with pytest.raises(ValueError, match=message):
        settings_of(method, preset, inputs)
