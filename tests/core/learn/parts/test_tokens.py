import pytest
import torch

from concept_atelier.core.learn.parts.tokens import resize_rows, start_bank

NAMES = ("apple", "crab", "bell")


def bank(backbone, names=NAMES, seed=0, **given):
    return start_bank(backbone, names, generator=torch.Generator().manual_seed(seed), **given)


@pytest.mark.parametrize("start", ["rare", "average"])
def test_vectors_have_a_row_per_concept_and_differ(lab_backbone, start):
    rows = bank(lab_backbone, start=start, count=2).vectors["clip_l"]
    assert rows.shape == (3, 2, 192) and rows.dtype == torch.float32
    assert rows.requires_grad and rows.is_leaf
    assert len({tuple(row.tolist()) for row in rows.flatten(0, 1)}) == 6


def test_same_seed_same_rows_and_another_seed_others(lab_backbone):
    first, again, other = (bank(lab_backbone, seed=seed).vectors["clip_l"] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_rare_rows_are_rows_of_the_table(lab_backbone):
    table = lab_backbone.word_vectors("q")["clip_l"][0]
    rows = bank(lab_backbone, tuple(f"n{i}" for i in range(36))).vectors["clip_l"][:, 0]
    assert (rows == table).all(1).sum() == 1


def test_more_concepts_than_rare_rows_still_differ(lab_backbone):
    rows = bank(lab_backbone, tuple(f"n{i}" for i in range(60))).vectors["clip_l"][:, 0].detach()
    assert torch.pdist(rows.double()).min() > 1e-3


def test_a_given_word_is_copied_and_the_model_is_not_shared(lab_backbone, lab_modules):
    table = lab_modules.text_encoder.get_input_embeddings().weight
    before = table.detach().clone()
    made = bank(lab_backbone, words={"crab": "photo", "bell": "  "})
    rows = made.vectors["clip_l"]
    torch.testing.assert_close(rows[1], lab_backbone.word_vectors("photo")["clip_l"].mean(0, keepdim=True))
    with torch.no_grad():
        rows.add_(1)
    assert torch.equal(table, before)


def test_a_word_for_no_concept_is_refused(lab_backbone):
    with pytest.raises(ValueError, match="initial words for pear"):
        bank(lab_backbone, words={"pear": "cat"})
    with pytest.raises(ValueError, match="at least 1 vector"):
        bank(lab_backbone, count=0)
    with pytest.raises(ValueError, match="expected rare or average"):
        bank(lab_backbone, start="zero")


def test_resizing_rows_averages_repeats_and_keeps():
    rows = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    torch.testing.assert_close(resize_rows(rows, 1), torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(resize_rows(rows, 2), rows)
    torch.testing.assert_close(resize_rows(rows[:1], 3), rows[:1].expand(3, 2))


def test_placeholders_and_tokens_are_the_same_part_of_the_graph(lab_backbone):
    made = bank(lab_backbone)
    vectors = made.placeholders()["<crab>"]["clip_l"]
    (slope,) = torch.autograd.grad(vectors.sum(), made.parameters())
    assert slope[1].sum() == 192 and slope[[0, 2]].sum() == 0
    assert torch.equal(made.tokens()["crab"]["clip_l"], vectors) and made.tokens()["crab"]["clip_l"].requires_grad
