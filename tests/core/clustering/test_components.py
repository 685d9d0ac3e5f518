import pytest
import torch

from concept_atelier.core.clustering.components import connected_components, grow, touching


def count_regions(mask: torch.Tensor) -> int:
    """4-connected regions of a mask (h, w) by a plain flood fill."""
    labels = torch.full(mask.shape, -1)
    count = 0
    for start in mask.nonzero().tolist():
        if labels[tuple(start)] >= 0:
            continue
        stack = [tuple(start)]
        while stack:
            y, x = stack.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and labels[y, x] < 0:
                labels[y, x] = count
                stack += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        count += 1
    return count


def walk(links: torch.Tensor) -> list[int]:
    """Components by a plain search."""
    labels = [-1] * len(links)
    for start in range(len(links)):
        if labels[start] < 0:
            number, stack = max(labels) + 1, [start]
            while stack:
                node = stack.pop()
                if labels[node] < 0:
                    labels[node] = number
                    stack += [j for j in range(len(links)) if links[node, j] or links[j, node]]
    return labels


@pytest.mark.parametrize("seed", range(6))
def test_components_equal_a_plain_search(seed):
    links = torch.rand(40, 40, generator=torch.Generator().manual_seed(seed)) < 0.005 * (seed + 1)
    assert connected_components(links).tolist() == walk(links)


def test_a_long_shuffled_chain_is_one_component():
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    links = torch.zeros(500, 500, dtype=torch.bool)
    links[order[:-1], order[1:]] = True
    assert connected_components(links).unique().tolist() == [0]
    links[order[250], order[251]] = False
    assert connected_components(links).unique().tolist() == [0, 1]


def test_touching_is_the_adjacency_of_the_paper():
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(14, 6, 8, generator=generator) < torch.rand(14, 1, 1, generator=generator) * 0.25
    masks[3], masks[4] = False, False
    masks[3, :2, :2], masks[4, 4:, 6:] = True, True
    result = touching(masks)
    assert not result[3, 4]
    assert result.any() and not result.all()
    for i in range(14):
        for j in range(14):
            lower = count_regions(masks[i] | masks[j]) < count_regions(masks[i]) + count_regions(masks[j])
            assert bool(result[i, j]) == lower


def test_grow_adds_the_four_neighbours_and_leaves_its_input():
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[0, 1] = True
    grown = grow(mask)
    assert grown.nonzero().tolist() == [[0, 0], [0, 1], [0, 2], [1, 1]]
    assert mask.sum() == 1


def test_links_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="square"):
        connected_components(torch.zeros(2, 3, dtype=torch.bool))
