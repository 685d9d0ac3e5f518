"""Prompt-to-Prompt: which maps are taken, and what stays bit by bit."""

import pytest
import torch

from concept_atelier.core.attribute.edit_by_words import WordEditSettings, edit_by_words, plan_edit

SIZE = (8, 12)
QUICK = {"latent_size": SIZE, "steps": 3, "seed": 2}


@pytest.fixture
def edit(lab_backbone):
    def edit_(prompt, edited, weights=None, settings=None, **given):
        chosen = settings or WordEditSettings()
        return edit_by_words(lab_backbone, prompt, edited, weights or {}, chosen, **(QUICK | given))

    return edit_


def planned(backbone, first, second, **weights):
    return plan_edit(backbone.tokenize(first), backbone.tokenize(second), weights)


def test_a_word_in_anothers_place_takes_its_map(lab_backbone):
    plan = planned(lab_backbone, "a cat on blue", "a dog on blue")
    assert plan.source[:6].tolist() == [0, 1, 2, 3, 4, 5] and plan.changed == (2,)


def test_a_new_word_reads_for_itself_and_moves_the_rest(lab_backbone):
    plan = planned(lab_backbone, "a cat on blue", "a red cat on blue")
    assert plan.source[:7].tolist() == [0, 1, -1, 2, 3, 4, 5] and plan.changed == (2,)
    assert plan.source[-1] == 75  # one padding token less


def test_weights_belong_to_words(lab_backbone):
    plan = planned(lab_backbone, "a cat and a dog", "a cat and a dog", cat=0.0, dog=2.0)
    assert plan.factors[[2, 5]].tolist() == [0.0, 2.0] and float(plan.factors.sum()) == 77
    assert plan.changed == (2, 5)


def test_the_first_picture_is_that_of_its_prompt_whatever_the_edit(edit):
    one, other = edit("a cat and a dog", "a cat and a rocket"), edit("a cat and a dog", "a cat", {"cat": 3.0})
    torch.testing.assert_close(one.before, other.before)
    assert not torch.allclose(one.after, one.before, atol=1e-3)


def test_a_weight_of_nearly_one_changes_nearly_nothing(edit):
    slight = edit("a cat and a dog", "a cat and a dog", {"cat": 1.0001}, WordEditSettings(1.0, 1.0))
    strong = edit("a cat and a dog", "a cat and a dog", {"cat": 0.0}, WordEditSettings(1.0, 1.0))
    change = [float((found.after - found.before).abs().mean()) for found in (slight, strong)]
    assert change[0] < 1e-3 < change[1]


def test_the_negative_text_may_name_learnt_tokens(edit, lab_backbone):
    token = {"<1>": {encoder: torch.randn(1, width) for encoder, width in lab_backbone.text_widths.items()}}
    given = {"guidance": 4.0, "placeholders": token}
    plain, led = (edit("a cat", "a dog", negative=text, **given) for text in ("", "<1>"))
    spelt = edit("a cat", "a dog", negative="<1>", guidance=4.0)
    assert not torch.equal(led.before, plain.before) and not torch.equal(led.before, spelt.before)


def test_the_same_seed_gives_the_same_edit_and_a_region(edit):
    first, again = (edit("a cat and a dog", "a cat and a rocket") for _ in range(2))
    assert torch.equal(first.after, again.after) and torch.equal(first.region, again.region)
    assert first.region.shape == (64, 96) and bool(first.region.any()) and not bool(first.region.all())
    change = (first.after - first.before).abs().mean((0, 1))
    assert first.inside == pytest.approx(float(change[first.region].mean()))
    assert first.outside == pytest.approx(float(change[~first.region].mean()))


@pytest.mark.parametrize(
    ("second", "weights", "message"),
    [
        ("a cat", {}, "nothing changes"),
        ("a cat", {"cat": 1.0}, "nothing changes"),
        ("a cat", {"whale": 2.0}, "'whale' is not in the text"),
    ],
)
def test_what_changes_nothing_is_refused(edit, second, weights, message):
    with pytest.raises(ValueError, match=message):
        edit("a cat", second, weights)


@pytest.mark.parametrize("wrong", [{"cross_until": 1.5}, {"self_until": -0.1}, {"threshold": 0.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must lie"):
        WordEditSettings(**wrong)


def test_words_of_long_prompts_keep_their_maps_in_every_chunk(lab_backbone):
    """A prompt of two chunks, with a word put into the second one."""
    parts = ["a cat and a dog on blue"] * 14
    first = lab_backbone.tokenize(", ".join(parts))
    second = lab_backbone.tokenize(", ".join([*parts[:12], "a red cat and a dog on blue", parts[13]]))
    plan = plan_edit(first, second, {})
    assert first.length == second.length == 154
    said = {token.position: token.text for token in first.tokens}
    for token in second.tokens:
        source = int(plan.source[token.position])
        assert source == -1 if token.text == "red" else said[source] == token.text
    assert plan.source[76].item() == 76 and plan.source[77].item() == 77  # what ends one chunk and begins the next
    assert plan.source[-1].item() == 152  # one padding token less
