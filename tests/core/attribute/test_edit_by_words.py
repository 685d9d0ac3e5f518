"""Prompt-to-Prompt: which maps are taken, and what stays bit by bit."""

import pytest
import torch

from concept_atelier.core.attribute.edit_by_words import WordEditSettings, _Editor, change_in, edit_by_words, plan_edit
from concept_atelier.core.backbone import AttentionCall, AttentionInputs

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


def test_a_word_of_several_pieces_takes_an_equal_share_of_a_map_for_each(lab_backbone):
    """Prompt-to-Prompt's mapper: each of k pieces has 1/k of the sum of the maps of what was there before."""
    plan = planned(lab_backbone, "a cat on blue", "a teddy bear on blue")
    pieces = plan.changed
    assert plan.spread == (((2,), pieces),) and len(pieces) > 1 and plan.removed == ()
    assert plan.source[list(pieces)].tolist() == [-1] * len(pieces)
    assert plan.source[[1, pieces[-1] + 1, pieces[-1] + 2]].tolist() == [1, 3, 4]
    maps = torch.rand(2, 3, 6, 77, generator=torch.Generator().manual_seed(1))
    taken = plan.taken(maps)
    for piece in pieces:
        torch.testing.assert_close(taken[..., piece], maps[0][..., 2] / len(pieces))
    back = planned(lab_backbone, "a teddy bear on blue", "a cat on blue")
    torch.testing.assert_close(back.taken(maps)[..., 2], maps[0][..., list(pieces)].sum(-1))


def test_words_of_unequal_pieces_are_exchanged_one_by_one(lab_backbone):
    first, second = "a cat and a teddy", "a teddy and a dog"
    old, new = (
        [word.position for word in lab_backbone.tokenize(text).tokens if word.text not in ("a", "and")]
        for text in (first, second)
    )
    plan = planned(lab_backbone, first, second)
    assert len(old) == len(new) > 2
    assert plan.spread == (((old[0],), tuple(new[:-1])), (tuple(old[1:]), (new[-1],)))


def test_a_removed_word_leaves_the_others_their_maps(lab_backbone):
    plan = planned(lab_backbone, "a red cat on blue", "a cat on blue")
    assert plan.source[:6].tolist() == [0, 1, 3, 4, 5, 6]
    assert (plan.changed, plan.removed, plan.spread) == ((), (2,), ())


def test_a_word_may_be_removed(edit):
    found = edit("a cat and a red dog", "a cat and a dog")
    assert not torch.allclose(found.after, found.before, atol=1e-3) and bool(found.region.any())


def test_change_is_the_mean_inside_and_outside_of_a_mask():
    before, after = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    after[..., :2, :] = 0.6
    after[..., 2:, :] = 0.2
    upper = torch.tensor([[1.0], [0.0]])  # of another size
    assert change_in(before, after, upper) == pytest.approx((0.6, 0.2))
    assert change_in(before, after, upper * 0.5) == pytest.approx((0.6, (0.5 * 0.6 + 0.2) / 1.5))
    assert change_in(before, after, torch.ones(1, 1)) == pytest.approx((0.4, 0.0))


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


def attending(backbone, prompts, columns, grid=(4, 4)):
    """Inputs of a layer of cross-attention in which every position of both prompts reads column by column of the grid:
    position p is read in column ``columns[row][p]`` alone, others nowhere in particular."""
    site = next(site for site in backbone.attention_sites() if site.kind == "cross")
    cells, length = grid[0] * grid[1], backbone.tokenize(prompts[0]).length
    logits = torch.zeros(2, cells, length)
    at = torch.arange(cells) % grid[1]
    for row, places in enumerate(columns):
        for place, column in places.items():
            logits[row, :, place] = torch.where(at == column, 8.0, -8.0)
    query = torch.eye(cells).expand(2, 1, cells, cells)
    call = AttentionCall(site, query, logits.mT[:, None], 1.0, grid, (True, True), 999.0)
    return AttentionInputs(call, torch.zeros(2, 1, length, 5))


def test_an_edited_picture_that_takes_no_maps_has_its_region_where_it_reads_the_word(lab_backbone):
    settings = WordEditSettings(cross_until=0.0)
    editor = _Editor(planned(lab_backbone, "a cat", "a dog"), settings, 1000, (4, 4))
    editor(attending(lab_backbone, ("a cat", "a dog"), ({1: 0, 2: 3}, {1: 0, 2: 1})))
    assert editor.region((4, 4)).any(0).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("first", "second", "weights", "columns", "expected"),
    [
        ("a cat", "a dog", {}, ({1: 0, 2: 3}, {1: 0, 2: 1}), 3),  # where the first picture read the word before it
        ("a cat", "a red cat", {}, ({1: 0, 2: 3}, {1: 0, 2: 1, 3: 3}), 1),  # a new word, in the second picture
        ("a cat", "a cat", {"cat": 0.0}, ({1: 0, 2: 2}, {1: 0, 2: 2}), 2),
        ("a red cat", "a cat", {}, ({1: 0, 2: 2, 3: 3}, {1: 0, 2: 3}), 2),  # a word that is gone, in the first
    ],
)
def test_the_region_is_where_the_changed_word_is_read(lab_backbone, first, second, weights, columns, expected):
    """Of a grid of four columns: the column of the changed word, and not that of the article."""
    editor = _Editor(planned(lab_backbone, first, second, **weights), WordEditSettings(), 1000, (4, 4))
    editor(attending(lab_backbone, (first, second), columns))
    wanted = torch.zeros(4, 4, dtype=torch.bool)
    wanted[:, expected] = True
    assert torch.equal(editor.region((4, 4)), wanted)
