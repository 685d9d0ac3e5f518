"""What labels say of concepts, beside a plain probe: known answers."""

import pytest
import torch

from concept_atelier.core.explain.activations import Activations
from concept_atelier.core.explain.bank import ConceptCodes
from concept_atelier.core.explain.labels import Labels, labels_of_words, meanings
from concept_atelier.core.explain.probe import held_out, learnability, pooled, ridge, single
from concept_atelier.core.explain.separability import by_chance, separability
from tests.core.explain.conftest import origin
from tests.core.explain.test_bank import bank

PICTURES = 60


@pytest.fixture(scope="module")
def shown():
    """(60, 3) bool: what each picture shows."""
    return torch.rand(PICTURES, 3, generator=torch.Generator().manual_seed(0)) < 0.4


def coded(values):
    """Codes of one position a picture."""
    count = values.shape[1]
    names = tuple(map(str, range(1, count + 1)))
    return ConceptCodes(values[:, None], (1, 1), bank(count, count, names=names, directions=torch.eye(count)))


def read(rows):
    return Activations(rows[:, None], (1, 1), origin(width=rows.shape[1]))


def test_a_concept_that_means_one_thing_is_separable_and_one_that_means_two_is_less(shown):
    one, both = shown[:, 0].float(), (shown[:, 0] | shown[:, 1]).float()
    never = torch.zeros(PICTURES)
    found = separability(torch.stack([one, both, never], 1), shown)
    assert float(found[0, 0]) == pytest.approx(1) and 0.2 < float(found[1, 0]) < 0.8
    assert found[2].tolist() == [0, 0, 0]
    assert float(by_chance(one[:, None], shown)[0]) < 0.4


def test_separability_does_not_depend_on_scale_and_knows_no_label_that_all_bear(shown):
    values = torch.rand(PICTURES, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(separability(values, shown), separability(7 * values, shown))
    assert separability(values, torch.ones(PICTURES, 1, dtype=torch.bool)).tolist() == [[0], [0]]


def test_the_probe_is_called_better_where_no_single_concept_predicts_a_label(shown):
    generator = torch.Generator().manual_seed(2)
    clear = shown.float() + 0.01 * torch.rand(PICTURES, 3, generator=generator)
    mixed = clear @ torch.tensor([[1.0, 1, 0], [0, 1, 1], [1, 0, 1]])  # no column means one label
    labels = Labels(shown, ("cat", "dog", "sun"), "captions")
    known = meanings(coded(clear), read(mixed), labels)
    assert {fit.name: fit.concept for fit in known.fits} == {"cat": 0, "dog": 1, "sun": 2}
    assert all(fit.auroc == pytest.approx(1) for fit in known.fits)
    fewer = torch.minimum(shown.sum(0), (~shown).sum(0)).tolist()
    assert {fit.name: fit.pictures for fit in known.fits} == dict(zip(("cat", "dog", "sun"), fewer, strict=True))
    assert [known.names[index] for index in known.label.tolist()] == ["cat", "dog", "sun"]
    spoiled = meanings(coded(mixed), read(clear), labels)
    assert all(fit.better == "probe" for fit in spoiled.fits)


def test_labels_of_too_few_pictures_are_left_out():
    present = torch.zeros(10, 3, dtype=torch.bool)
    present[:1, 0], present[:9, 1], present[:4, 2] = True, True, True
    assert Labels(present, ("once", "nearly all", "some"), "captions").usable().names == ("some",)
    only = Labels(present[:, :1], ("once",), "captions")
    assert meanings(coded(torch.rand(10, 2)), read(torch.rand(10, 2)), only) is None
    with pytest.raises(ValueError, match="labels of 10 pictures were given for 4"):
        meanings(coded(torch.rand(4, 2)), read(torch.rand(4, 2)), only)


def test_words_are_labels_where_they_are_clearly_likelier():
    likely = torch.tensor([[0.9, 0.1], [0.8, 0.1], [0.1, 0.7], [0.1, 0.1]])
    assert labels_of_words(likely, ("cat", "dog")).present.tolist() == [
        [True, False],
        [True, False],
        [False, True],
        [False, False],
    ]


def test_what_is_chosen_on_other_pictures_is_not_better_than_chance_by_itself():
    """The best of many columns of noise looks good on the pictures that it is chosen on, and not on others."""
    generator = torch.Generator().manual_seed(3)
    noise, present = torch.rand(80, 200, generator=generator), torch.arange(80) % 2 == 0
    assert 0.3 < held_out(noise, present, fit=single) < 0.7
    assert float((noise @ single(noise, present))[present].mean()) > 0.5


def test_a_probe_reads_the_mean_and_the_largest_of_all_positions():
    rows = torch.tensor([[[1.0, 0], [3, 2]]])
    assert pooled(rows).tolist() == [[2, 1, 3, 2]]


def test_learnability_is_high_for_what_is_linear_and_unknown_for_what_is_rare():
    rows = torch.randn(80, 5, generator=torch.Generator().manual_seed(4))
    rare = torch.zeros(80, dtype=torch.bool)
    found = learnability(rows, torch.stack([rows[:, 1] > 0, rare], 1))
    assert float(found[0]) > 0.9 and bool(found[1].isnan())
    assert held_out(torch.zeros(20, 3), torch.arange(20) < 10, fit=ridge) == pytest.approx(0.5, abs=0.2)
