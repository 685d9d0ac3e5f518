import copy

import pytest
import torch

from concept_atelier.core.masks.edit import add_background, drop, edit, grow, keep, merge, rename


@pytest.fixture(autouse=True)
def left_alone(three_concepts):
    """No edit changes the concepts it is given."""
    before = copy.deepcopy(three_concepts)
    yield
    for name in ("masks", "targets", "scores"):
        assert torch.equal(getattr(before, name), getattr(three_concepts, name))


def test_keep_and_drop(three_concepts):
    kept = keep(three_concepts, "<3>, 1")
    assert kept.names == ("3", "1") and kept.scores.tolist() == [1.0, 3.0]
    assert torch.equal(kept.masks[0], three_concepts.masks[2])
    assert drop(three_concepts, "2").names == ("1", "3")
    assert drop(three_concepts, "").names == ("1", "2", "3")
    with pytest.raises(ValueError, match="would leave no concept"):
        drop(three_concepts, "1,2,3")
    with pytest.raises(ValueError, match="at least one"):
        keep(three_concepts, " , ")


def test_merge_unites_masks_averages_targets_and_keeps_the_rest(three_concepts):
    merged = merge(three_concepts, "1+3, 2")
    assert merged.names == ("1", "2")
    assert torch.equal(merged.masks[0], three_concepts.masks[0] | three_concepts.masks[2])
    assert torch.allclose(merged.targets[0], (three_concepts.targets[0] + three_concepts.targets[2]) / 2)
    assert merged.scores.tolist() == [2.0, 2.0]
    assert merge(three_concepts, "3+2").names == ("1", "3")
    assert merge(three_concepts, "1+2+3").names == ("1",)
    assert merge(three_concepts, "").names == ("1", "2", "3")
    with pytest.raises(ValueError, match="2 is mentioned twice"):
        merge(three_concepts, "1+2, 2+3")


def test_rename_and_swap(three_concepts):
    assert rename(three_concepts, "1=cat, <3>=<dog-2>").names == ("cat", "2", "dog-2")
    assert rename(three_concepts, "1=2, 2=1").names == ("2", "1", "3")
    with pytest.raises(ValueError, match="must differ"):
        rename(three_concepts, "1=2")
    with pytest.raises(ValueError, match="old=new"):
        rename(three_concepts, "cat")
    for bad in ("1=", "1=a b", "1=../x"):
        with pytest.raises(ValueError, match="cannot name a concept"):
            rename(three_concepts, bad)


def test_grow_takes_free_cells_and_shrink_undoes_it(three_concepts):
    grown = grow(three_concepts, 1)
    assert (grown.masks.sum(0) <= 1).all()
    assert grown.masks.sum((1, 2)).tolist() == [8, 10, 6]  # of contested cells, the first takes what both reach
    assert grown.masks[1].sum() > 4
    contested = torch.zeros(4, 6, dtype=torch.bool)
    contested[1:3, 1] = True  # reached by 1 and 2; both targets are 0 there, so the first takes them
    assert torch.equal(grown.masks[0] & contested, contested)
    assert torch.equal(grow(grow(three_concepts, 1, "2"), -1, "2").masks[1], three_concepts.masks[1])
    assert torch.equal(grow(three_concepts, 0).masks, three_concepts.masks)


def test_a_contested_cell_goes_to_the_larger_target(three_concepts):
    targets = three_concepts.targets.clone()
    targets[1, 1, 1] = 0.5
    leaning = type(three_concepts)(
        three_concepts.masks, targets, three_concepts.names, three_concepts.scores, three_concepts.picture_size
    )
    assert grow(leaning, 1).masks[1, 1, 1] and grow(leaning, 1).masks[0, 2, 1]


def test_shrinking_stops_at_nothing_and_spares_the_edge_of_the_picture(three_concepts):
    with pytest.raises(ValueError, match="leaves nothing of 1, 2, 3"):
        grow(three_concepts, -1)
    wide = grow(three_concepts, 1, "1")  # two columns at the left edge
    assert torch.equal(grow(wide, -1, "1").masks[0], three_concepts.masks[0])


def test_background(three_concepts):
    more = add_background(three_concepts)
    assert more.names[-1] == "background" and more.scores[-1] == 0
    assert torch.equal(more.masks.sum(0), torch.ones(4, 6, dtype=torch.long))
    assert more.targets[-1].sum() == pytest.approx(1)
    attention = torch.rand(24, 24, generator=torch.Generator().manual_seed(0)).softmax(1)
    seen = add_background(three_concepts, "sky", attention)
    assert torch.allclose(seen.targets[-1].flatten(), attention[seen.masks[-1].flatten()].mean(0), atol=1e-6)
    with pytest.raises(ValueError, match="cover the whole picture"):
        add_background(more, "more")
    with pytest.raises(ValueError, match="must differ"):
        add_background(three_concepts, "1")


def test_what_one_change_took_out_is_passed_over_by_the_next(three_concepts):
    texts = {"joined": "1+2+3", "renamed": "1=cat, 2=dog, 3=fox"}
    assert edit(three_concepts, **texts).names == ("cat",)
    without = edit(three_concepts, dropped="1", **texts)
    assert without.names == ("dog",)
    assert torch.equal(without.masks[0], three_concepts.masks[1] | three_concepts.masks[2])
    assert edit(three_concepts, kept="3, 2", dropped="1, 2", **texts).names == ("fox",)
    assert edit(three_concepts, dropped="1, 2", joined="1+2").names == ("3",)
    assert edit(three_concepts).names == three_concepts.names


@pytest.mark.parametrize("text", ["dropped", "joined", "renamed"])
def test_a_name_that_never_was_is_refused_whatever_was_taken_out(three_concepts, text):
    wrong = "4=cat" if text == "renamed" else "1, 4" if text == "dropped" else "2+4"
    with pytest.raises(ValueError, match="no concept is called 4; there are 2, 3"):
        edit(three_concepts, kept="2, 3", **{text: wrong})


def test_a_new_name_may_be_one_that_was_taken_out(three_concepts):
    assert edit(three_concepts, dropped="1", renamed="2=1").names == ("1", "3")


@pytest.mark.parametrize(
    "change", [keep, drop, merge, lambda c, names: rename(c, f"{names}=x"), lambda c, names: grow(c, 1, names)]
)
def test_unknown_names_are_refused_with_those_that_exist(change, three_concepts):
    with pytest.raises(ValueError, match="no concept is called cat; there are 1, 2, 3"):
        change(three_concepts, "cat")
