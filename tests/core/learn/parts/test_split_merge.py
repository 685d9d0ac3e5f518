import torch

from concept_atelier.core.learn.engine.loop import LoopSettings, optimise
from concept_atelier.core.learn.parts.examples import Example
from concept_atelier.core.learn.parts.split_merge import SplitTokens, split_names
from concept_atelier.core.learn.parts.tokens import TokenBank

NAMES = ("apple", "crab")


def tokens(parts=3):
    rows = torch.arange(float(parts * 2 * 4)).reshape(parts * 2, 1, 4).square().requires_grad_()
    return SplitTokens(NAMES, TokenBank(split_names(NAMES, parts), {"clip_l": rows}))


def test_merging_puts_means_in_the_first_rows_and_nothing_else():
    split = tokens()
    before = split.bank.vectors["clip_l"].detach().clone()
    promised = {name: of["clip_l"].detach().clone() for name, of in split.means().items()}
    split.merge()
    after = split.bank.vectors["clip_l"].detach()
    assert torch.equal(after[0], before[[0, 2, 4]].mean(0)) and torch.equal(after[1], before[[1, 3, 5]].mean(0))
    assert torch.equal(after[2:], before[2:])
    for name, of in split.merged().tokens().items():
        assert torch.equal(of["clip_l"], promised[name])


def test_merging_equal_tokens_changes_nothing():
    split = tokens()
    with torch.no_grad():
        split.bank.vectors["clip_l"][:] = 0.5
    split.merge()
    assert (split.bank.vectors["clip_l"] == 0.5).all()


def test_the_mean_reaches_all_parts_evenly():
    split = tokens()
    rows = split.bank.vectors["clip_l"]
    (slope,) = torch.autograd.grad(split.means()["crab"]["clip_l"].sum(), [rows])
    torch.testing.assert_close(slope[[1, 3, 5]], torch.full((3, 1, 4), 1 / 3))
    assert not slope[[0, 2, 4]].any()


def test_the_optimiser_goes_on_with_the_state_of_the_first_rows():
    split = tokens()
    rows = split.bank.vectors["clip_l"]
    seen = []

    def loss(step):
        if step == 5:
            split.merge()
        seen.append(split.merged().tokens()["apple"]["clip_l"].detach().clone())
        return (rows[:2] if step < 5 else 0 * rows).sum()

    optimise(split.bank.parameters(), loss, LoopSettings(7, 0.1, weight_decay=0.0))
    assert (seen[6] < seen[5]).all()  # no slope is left after the merge: only what the optimiser remembers moves it


def test_every_part_of_a_concept_has_its_mask_and_target():
    split = tokens()
    masks, targets = torch.rand(2, 3, 3), torch.rand(2, 3, 3)
    example = Example(torch.zeros(1, 4, 3, 3), masks, targets).repeated(split.parts)
    assert split.parts == 3 and len(split.bank.names) == 6
    for row in range(6):
        assert torch.equal(example.masks[row], masks[row % 2])
        assert torch.equal(example.targets[row], targets[row % 2])


def test_unsplit_concepts_keep_their_names_and_parts_need_none():
    assert split_names(NAMES, 1) == NAMES
    assert len(set(split_names(("0", "1"), 4))) == 8
