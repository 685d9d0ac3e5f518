from collections import Counter

import pytest
import torch

from concept_atelier.core.learn.parts.subsets import any_subset, union_subset

DRAWS = 6000


def shares(draw):
    generator = torch.Generator().manual_seed(0)
    counted = Counter(draw(generator) for _ in range(DRAWS))
    return {subset: count / DRAWS for subset, count in counted.items()}


def test_union_sampling_draws_every_size_equally_often_and_every_order_within_it():
    found = shares(lambda generator: union_subset(3, generator))
    assert len(found) == 3 + 6 + 6 and all(len(set(subset)) == len(subset) for subset in found)
    for subset, share in found.items():
        assert share == pytest.approx({1: 1 / 9, 2: 1 / 18, 3: 1 / 18}[len(subset)], abs=0.015)


@pytest.mark.parametrize("by", ["subset", "size"])
def test_for_two_concepts_subsets_are_thirds_or_sizes_halves(by):
    expected = {"subset": (1 / 3, 1 / 3, 1 / 3), "size": (1 / 4, 1 / 4, 1 / 2)}[by]
    found = shares(lambda generator: any_subset(2, generator, by))
    assert [found[subset] for subset in ((0,), (1,), (0, 1))] == pytest.approx(expected, abs=0.02)


def test_every_non_empty_subset_of_four_is_as_likely():
    found = shares(lambda generator: any_subset(4, generator))
    assert len(found) == 15 and all(share == pytest.approx(1 / 15, abs=0.012) for share in found.values())


def test_one_concept_is_always_itself_and_other_ways_are_refused(generator):
    assert union_subset(1, generator) == any_subset(1, generator) == (0,)
    with pytest.raises(ValueError, match="by subset or size"):
        any_subset(2, generator, "alike")
