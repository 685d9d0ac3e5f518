"""``bench recognise --what dependencies``: its worlds, and one case."""

import torch

from concept_atelier.bench.harness import Request
from concept_atelier.bench.recognise import dependencies
from concept_atelier.bench.recognise.dependencies import make_world, truth_of


def test_what_was_planted_is_in_the_truth_and_nothing_else_is_together():
    world, rng = make_world("development", 0, 0)
    tags = world.tags([world.draw(rng) for _ in range(4000)])
    assert torch.equal(tags[:, 0], tags[:, 1]) and tags[:, 8:12].sum(1).eq(1).all() and tags[:, 12:].sum(1).eq(1).all()
    truth = truth_of(tags)
    assert float(truth[0, 1]) == 1 and all(float(truth[pair]) > 0.7 for pair in world.planted)
    assert set((truth > 0.5).triu(1).nonzero().flatten(0).tolist()) <= {k for pair in world.planted for k in pair}


def test_planted_dependencies_are_listed_and_no_others():
    request = Request(1)
    row = dependencies.measure(dependencies.prepare(request), request, 0)
    assert row["many"]["planted"] == 1 and row["many"]["real"] > 0.9
    assert row["many"]["follows"] > 0.9 and row["many"]["strangers"] < 0.05
    assert row["lint"] == {"named": 1, "others": 0}
    apart = dependencies.measure(None, Request(1, options={"shuffled": True}), 0)
    assert apart["many"]["planted"] < 0.4 and apart["lint"]["named"] == 0
    said = dependencies.table({"cases": 1, "split": "development", "summary": dependencies.figures([row], request)})
    assert "the other of a pair follows" in said
