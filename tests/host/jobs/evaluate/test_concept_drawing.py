"""Pictures of tokens, for scoring them: over the lab model at random weights."""

import pytest
import torch

from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.jobs.evaluate.concept_drawing import SEEDS, DrawSettings, draw_prompts, prompts_of


@pytest.fixture
def tokens(lab_backbone):
    return ConceptTokens({name: lab_backbone.word_vectors(word) for name, word in (("b", "q"), ("a", "z"))}, "lab")


@pytest.fixture
def drawn(lab_backbone, tokens):
    def go(size=(16, 24), recorded=None, prompts=None, **settings):
        report = (lambda *at: recorded.append(at)) if recorded is not None else lambda *at: None
        chosen = DrawSettings(**({"draws": 3, "steps": 2} | settings))
        prompts = prompts or prompts_of(tokens, chosen.template)
        return draw_prompts(lab_backbone, tokens, prompts, size, chosen, report)

    return go


def test_each_alone_then_all_together(tokens):
    assert prompts_of(tokens, "a {}!") == ["a <b>!", "a <a>!", "a <b> and <a>!"]


def test_class_words_stand_where_they_were_learnt(tokens):
    spoken = ConceptTokens(tokens.vectors, "lab", metadata={"method": "far", "classes": '{"a": "cat"}'})
    assert prompts_of(spoken, "{}") == ["<b>", "<a> cat", "<b> and <a> cat"]


def test_without_tokens_or_a_place_for_them():
    with pytest.raises(ValueError, match="no tokens"):
        prompts_of(ConceptTokens({}, "lab"), "{}")


def test_shapes_and_range(drawn):
    pictures = drawn(size=(20, 24))
    assert pictures.shape == (3, 3, 3, 16, 24) and 0 <= pictures.min() <= pictures.max() <= 1


def test_the_batch_changes_nothing_but_memory(drawn):
    torch.testing.assert_close(drawn(batch=1), drawn(batch=5), atol=1e-4, rtol=0)


def test_seeds_count_up_and_prompts_share_their_noise(drawn):
    first = drawn(seed=7)
    torch.testing.assert_close(drawn(seed=8)[:, :2], first[:, 1:], atol=1e-4, rtol=0)
    same = drawn(prompts=["a <a>", "a <a>"])
    torch.testing.assert_close(same[0], same[1], atol=1e-4, rtol=0)
    assert not torch.allclose(same[0, 0], same[0, 1], atol=1e-2)


def test_the_last_seed_is_followed_by_the_first(drawn):
    torch.testing.assert_close(drawn(seed=SEEDS - 1)[:, 1], drawn(seed=0)[:, 0], atol=1e-4, rtol=0)


def test_every_pass_is_reported_and_every_batch_is_shown(drawn):
    recorded = []
    drawn(recorded=recorded, batch=4)
    assert [at[:2] for at in recorded if len(at) == 2] == [(i, 6) for i in range(1, 7)]
    shown = [at for at in recorded if len(at) == 3]
    assert [(step, preview.size) for step, _, preview in shown] == [(2, (96, 16)), (4, (96, 16)), (6, (24, 16))]


@pytest.mark.parametrize("name", ["draws", "steps", "batch"])
def test_nothing_cannot_be_drawn(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        DrawSettings(**{name: 0})
