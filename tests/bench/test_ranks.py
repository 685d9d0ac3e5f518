from concept_atelier.bench.ranks import spearman


def test_rank_correlation_by_hand():
    assert spearman([1, 2, 3, 4], [10, 20, 40, 30]) == 0.8
    assert spearman([1, 5, 7, 9], [-1, -5, -7, -9]) == -1.0
    assert spearman([1, 1, 2], [3, 3, 5]) == 1.0  # ties share their mean rank
    assert spearman([1, 2, 3], [4, 4, 4]) is None
