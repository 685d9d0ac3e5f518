"""``bench segment``: its scenes, its scores, and one small case."""

import torch

from concept_atelier.bench.harness import Request
from concept_atelier.bench.recognise import segment
from concept_atelier.bench.recognise.segment import label_of, make_scenes, mean_iou


def test_scenes_have_a_label_for_each_object_and_are_the_same_again():
    kinds = ["cat", "dog", "fox", "tree"]
    pictures, labels = make_scenes("development", 0, 0, kinds, 4)
    counts = [len(set(label.unique().tolist()) - {-1}) for label in labels]
    assert pictures.shape[0] == 4 and set(counts) <= {1, 2} and int(labels.max()) < len(kinds)
    assert make_scenes("development", 0, 0, kinds, 4)[1].equal(labels)
    assert not make_scenes("test", 0, 0, kinds, 4)[1].equal(labels)


def test_scores_have_known_answers():
    truth = torch.full((1, 4, 4), -1)
    truth[0, :2] = 0
    assert mean_iou(truth, truth) == 1
    assert mean_iou(torch.full_like(truth, -1), truth) == 0.25
    shares = torch.zeros(2, 1, 4, 4)
    shares[0, 0, :2], shares[1, 0, 2:] = 0.8, 0.1
    assert label_of(shares).equal(truth)


def test_a_small_case_finds_words_and_places():
    request = Request(1, options={"pictures": 6})
    row = segment.measure(segment.prepare(request), request, 0)
    assert row["true"] > row["full"] and 0 < row["precision"] <= 1 and row["recall"] > 0
    summary = segment.figures([row, row], request)
    assert "gain over full" in segment.table({"cases": 2, "split": "development", "summary": summary})
