"""The passes of concepts: what they read, and attention that is pooled to fewer cells."""

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.compose.composition import Composition, Region
from concept_atelier.core.compose.parts.branches import coarse_grid, pooled, text_of


def test_a_branch_reads_the_pooled_text_of_its_own_prompt():
    pooled_texts = [torch.full((1, 2), value) for value in (0.0, 7.0)]
    regions = tuple(Region("a cat", slice(3, 5), extras=extras) for extras in ({"pooled_output": pooled_texts[1]}, {}))
    whole = Conditioning(torch.randn(1, 5, 4), {"pooled_output": pooled_texts[0]})
    composition = Composition(whole, slice(0, 3), regions)
    own, without = (text_of(composition, region, torch.zeros(2, 4, 8, 8)) for region in regions)
    assert torch.equal(own.context, whole.context[:, 3:].expand(2, -1, -1))
    assert torch.equal(own.extras["pooled_output"], pooled_texts[1].expand(2, -1))
    assert torch.equal(without.extras["pooled_output"], pooled_texts[0].expand(2, -1))


@pytest.mark.parametrize(
    ("grid", "cells", "expected"),
    [((8, 8), 64, (8, 8)), ((8, 8), 63, (4, 4)), ((64, 64), 1024, (32, 32)), ((9, 4), 10, (5, 2))],
)
def test_a_coarse_grid_has_at_most_so_many_cells(grid, cells, expected):
    assert coarse_grid(grid, cells) == expected


def test_pooled_attention_is_that_between_patches(generator):
    """Of patches of two by two cells, written out."""
    maps = torch.rand(1, 16, 16, generator=generator).softmax(-1)
    found = pooled(maps, (4, 4), (2, 2))
    patch = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3])
    for reader in range(4):
        for read in range(4):
            expected = maps[0][patch == reader][:, patch == read].sum(1).mean()
            torch.testing.assert_close(found[0, reader, read], expected)
    assert pooled(maps, (4, 4), (4, 4)) is maps
