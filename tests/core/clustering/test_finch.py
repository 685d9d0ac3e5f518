import math

import pytest
import torch

from concept_atelier.bench.cost.meters import memory_of
from concept_atelier.core.clustering.divergence import cosine, euclidean, symmetric_kl
from concept_atelier.core.clustering.finch import (
    between_clusters,
    cluster_means,
    finch,
    first_neighbour_links,
    last_with_at_least,
    merge_to_count,
)


def blobs(sizes, spread=0.05, seed=0, dim=3):
    """Rows around far corners, shuffled, with the blob of every row."""
    generator = torch.Generator().manual_seed(seed)
    centres = 10 * torch.eye(max(len(sizes), dim))[: len(sizes)]
    truth = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    truth = truth[torch.randperm(len(truth), generator=generator)]
    return centres[truth] + spread * torch.randn(len(truth), centres.shape[1], generator=generator), truth


def same_partition(a, b) -> bool:
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


def slow_finch(rows, metric, cut=math.inf, adjacent=None):
    """The same method as one plain loop over lists; returns [(labels, linked), ...]."""
    n = len(rows)
    groups, levels = [[i] for i in range(n)], []
    while True:
        centres = [rows[g].mean(0) for g in groups]
        k = len(groups)
        d = [[metric(centres[i], centres[j]) for j in range(k)] for i in range(k)]
        near = [min((j for j in range(k) if j != i), key=lambda j, i=i: d[i][j], default=None) for i in range(k)]
        links, linked = [], 0.0
        for i in range(k):
            for j in range(k):
                count = (near[i] == j) + (near[j] == i) + (near[i] == near[j])
                beside = adjacent is None or any(adjacent[a][b] for a in groups[i] for b in groups[j])
                if i != j and count and d[i][j] <= cut and beside:
                    links.append((i, j))
                    linked = max(linked, count * d[i][j])
        label = list(range(k))
        for _ in range(k):
            for i, j in links:
                label[i] = label[j] = min(label[i], label[j])
        merged = [sorted(sum((groups[i] for i in range(k) if label[i] == root), [])) for root in sorted(set(label))]
        if levels and len(merged) in (1, k):
            return levels
        flat = [next(c for c, group in enumerate(merged) if i in group) for i in range(n)]
        levels.append((flat, linked))
        if len(merged) in (1, k):
            return levels
        groups = merged


def kl_of(p, q):
    return 0.5 * ((p - q) * (p.log() - q.log())).sum().item()


@pytest.mark.parametrize("sizes", [(20, 30, 25), (30, 40)])
def test_blobs_are_found_with_their_number(sizes):
    rows, truth = blobs(sizes)
    for distance in (euclidean, cosine):
        levels = finch(rows, distance)
        assert any(level.count == len(sizes) and same_partition(level.labels, truth) for level in levels)


@pytest.mark.parametrize("sizes", [(20, 30, 25), (3, 60), (8, 8, 8, 8, 8), (1, 2, 40, 9)])
@pytest.mark.parametrize(("distance", "cut"), [(euclidean, 5.0), (cosine, 0.5)])
def test_a_cut_between_the_blobs_ends_at_exactly_the_blobs(sizes, distance, cut):
    rows, truth = blobs(sizes)
    assert same_partition(finch(rows, distance, cut=cut)[-1].labels, truth)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [{}, {"cut": 0.06}, {"adjacency": True}, {"cut": 0.3, "adjacency": True}])
def test_equals_a_plain_loop(seed, options):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(40, 6, generator=generator).double() + 0.05
    rows = rows / rows.sum(1, keepdim=True)
    adjacency = None
    if options.get("adjacency"):
        adjacency = torch.rand(40, 40, generator=generator) < 0.1
        adjacency = adjacency | adjacency.T
    cut = options.get("cut")
    levels = finch(rows, symmetric_kl, cut=cut, adjacency=adjacency)
    expected = slow_finch(rows, kl_of, math.inf if cut is None else cut, adjacency)
    assert [level.labels.tolist() for level in levels] == [labels for labels, _ in expected]
    assert [level.linked for level in levels] == pytest.approx([linked for _, linked in expected], rel=1e-6)


def test_levels_are_nested_and_shrink():
    rows = torch.rand(300, 8, generator=torch.Generator().manual_seed(2))
    levels = finch(rows, symmetric_kl)
    assert len(levels) >= 3
    for fine, coarse in zip(levels, levels[1:], strict=False):
        assert 1 < coarse.count < fine.count
        pairs = set(zip(fine.labels.tolist(), coarse.labels.tolist(), strict=True))
        assert len(pairs) == fine.count  # every fine cluster lies in one coarse cluster


def test_centres_are_means_of_the_original_rows():
    rows = torch.rand(120, 5, generator=torch.Generator().manual_seed(4))
    coarsest = finch(rows, euclidean)[-1]
    for label, centre in enumerate(coarsest.centres):
        assert torch.allclose(centre, rows[coarsest.labels == label].mean(0), atol=1e-6)


def test_mutual_neighbours_count_twice():
    links, linked = first_neighbour_links(euclidean(torch.tensor([[0.0], [1.0], [10.0], [13.0]])))
    assert links.tolist() == [[0, 1], [2, 3]]
    assert linked == 6.0
    # 2 points to 1, 1 and 0 to one another: 2-1 counts once, 2-0 share neighbour 1 and count once.
    links, linked = first_neighbour_links(euclidean(torch.tensor([[0.0], [1.0], [10.0]])))
    assert sorted(links.tolist()) == [[0, 1], [0, 2], [1, 2]]
    assert linked == 10.0


def matrix_links(distances, cut, allowed):
    """Equation 1 word by word, as whole matrices: links, and the longest of them times its count."""
    k = len(distances)
    own = torch.eye(k, dtype=torch.bool)
    steps = torch.nn.functional.one_hot(distances.masked_fill(own, torch.inf).argmin(1), k) + own.long()
    counts = (steps @ steps.T) * ~own
    links = (counts > 0) & (distances <= cut) & allowed
    return links, (distances * counts)[links].max().item() if links.any() else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_lists_of_links_are_those_of_the_matrices(seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, 6, (60, 2), generator=generator).float()  # many ties, and many that share a neighbour
    distances, allowed = euclidean(rows), torch.rand(60, 60, generator=generator) < 0.7
    allowed = allowed | allowed.T
    for cut, beside in ((torch.inf, torch.ones_like(allowed)), (1.0, torch.ones_like(allowed)), (1.5, allowed)):
        links, linked = first_neighbour_links(distances, cut, beside)
        expected, longest = matrix_links(distances, cut, beside)
        assert sorted(links.tolist()) == expected.triu().nonzero().tolist()
        assert linked == longest


def test_links_need_little_memory_beside_the_distances():
    distances = euclidean(torch.rand(1500, 3, generator=torch.Generator().manual_seed(0)))
    assert memory_of(lambda: first_neighbour_links(distances)).peak < distances.nbytes


def test_a_cut_keeps_far_blobs_apart():
    rows = torch.tensor([[0.0], [1.0], [50.0], [51.0], [200.0]])
    assert finch(rows, euclidean, cut=5.0)[-1].labels.tolist() == [0, 0, 1, 1, 2]
    assert finch(rows, euclidean, cut=0.5)[-1].count == 5  # nothing may be linked: one level of singletons


def test_a_last_merge_into_one_is_kept_on_request():
    rows = torch.tensor([[0.0], [1.0], [20.0], [21.0], [24.0], [25.0]])
    counts = [level.count for level in finch(rows, euclidean)]
    assert counts[-1] > 1
    assert [level.count for level in finch(rows, euclidean, keep_single=True)] == [*counts, 1]
    assert finch(rows, euclidean, cut=10.0, keep_single=True)[-1].count == 2


def test_early_exit_stops_merging_what_is_farther_than_the_first_links():
    rows = torch.tensor([[0.0], [1.0], [20.0], [21.0], [900.0], [901.0], [920.0], [921.0]])
    assert [level.count for level in finch(rows, euclidean)] == [4, 2]
    assert [level.count for level in finch(rows, euclidean, early_exit=True)] == [4]


def test_adjacency_keeps_strangers_apart():
    rows = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    apart = torch.zeros(4, 4, dtype=torch.bool)
    apart[2, 3] = True  # one direction is enough
    assert finch(rows, euclidean, adjacency=apart | apart.T)[-1].labels.tolist() == [0, 1, 2, 2]


def test_cluster_adjacency_is_that_of_any_members():
    adjacency = torch.zeros(4, 4, dtype=torch.bool)
    adjacency[1, 2] = True
    joined = between_clusters(adjacency, torch.tensor([0, 0, 1, 2]))
    assert joined is not None and joined.nonzero().tolist() == [[0, 1], [1, 0]]


def test_one_and_two_rows():
    one = finch(torch.ones(1, 3))
    assert [level.labels.tolist() for level in one] == [[0]]
    assert one[0].linked == 0.0
    two = finch(torch.tensor([[0.0], [3.0]]), euclidean)
    assert [level.labels.tolist() for level in two] == [[0, 0]]
    assert two[0].linked == 6.0


def test_duplicates_and_ties_fall_to_the_lowest_index_every_time():
    rows = torch.tensor([[1.0, 2.0], [5.0, 1.0]]).repeat_interleave(30, 0)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    for distance in (symmetric_kl, cosine, euclidean):
        levels = finch(rows[order], distance)
        assert levels[0].count == 2
        assert same_partition(levels[0].labels, order // 30)
    line = torch.arange(10.0)[:, None]  # every inner point has two equally near neighbours
    first = [level.labels.tolist() for level in finch(line, euclidean)]
    assert first == [level.labels.tolist() for level in finch(line, euclidean)]
    assert first[0] == [0] * 10


def test_inputs_are_left_alone_and_bad_ones_refused():
    rows = torch.rand(20, 4, generator=torch.Generator().manual_seed(1))
    before = rows.clone()
    finch(rows, symmetric_kl)
    assert torch.equal(rows, before)
    with pytest.raises(ValueError, match="at least one row"):
        finch(torch.zeros(0, 3))
    with pytest.raises(ValueError, match=r"adjacency must be \(20, 20\)"):
        finch(rows, adjacency=torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="NaN"):
        finch(torch.full((4, 2), torch.nan))


def test_choosing_a_level():
    levels = finch(torch.rand(300, 8, generator=torch.Generator().manual_seed(2)), symmetric_kl)
    index = last_with_at_least(levels, 10)
    assert index is not None and levels[index].count >= 10
    assert index + 1 == len(levels) or levels[index + 1].count < 10
    assert last_with_at_least(levels, 1) == len(levels) - 1
    assert last_with_at_least(levels, 301) is None


def test_merge_to_count_takes_the_closest_and_prefers_neighbours():
    rows = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    labels = torch.arange(4)
    assert merge_to_count(rows, labels, 3, euclidean).tolist() == [0, 0, 1, 2]
    assert merge_to_count(rows, labels, 2, euclidean).tolist() == [0, 0, 1, 1]
    assert merge_to_count(rows, labels, 9, euclidean).tolist() == [0, 1, 2, 3]
    beside = torch.zeros(4, 4, dtype=torch.bool)
    beside[0, 3] = True
    assert merge_to_count(rows, labels, 3, euclidean, beside | beside.T).tolist() == [0, 1, 2, 0]
    assert merge_to_count(rows, labels, 1, euclidean, beside | beside.T).tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="at least 1"):
        merge_to_count(rows, labels, 0, euclidean)


def test_cluster_means():
    assert cluster_means(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1])).tolist() == [[2.0], [7.0]]
