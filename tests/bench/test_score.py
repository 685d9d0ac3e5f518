"""What ``bench score`` compares, with an encoder of known answers and one that knows nothing."""

import json

import pytest
import torch

from concept_atelier.bench import score
from concept_atelier.bench.harness import Request
from concept_atelier.lab.world.atlas import load_atlas


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(score, "OBJECTS", 4)


def test_every_object_is_in_one_pair_and_alone_in_its_own_pictures(few):
    pairs, alone = score.pictures_of("development", 3)
    names = [name for case in pairs for name in case.names]
    assert len(set(names)) == 4 and set(names) <= {kind.name for kind in load_atlas().of_split("train")}
    assert [case.names for case in alone] == [(name,) for name in names for _ in range(score.PICTURES)]
    assert not torch.equal(alone[0].picture, alone[1].picture)
    again, _ = score.pictures_of("development", 3)
    assert torch.equal(pairs[0].picture, again[0].picture)


def test_features_that_say_the_object_score_full_marks_and_permuted_ones_none(few, monkeypatch):
    order = [name for case in score.pictures_of("development", 0)[0] for name in case.names]
    said = [*[name for name in order for _ in range(score.PICTURES)], *(order * len(score.SOURCES))]

    def knows(vision, pictures):
        """Asked first for all pictures of objects alone, then for one source after the other."""
        names, said[:] = said[: len(pictures)], said[len(pictures) :]
        return torch.eye(4)[[order.index(name) for name in names]]

    monkeypatch.setattr(score, "picture_features", knows)
    spoiled = list(said)
    row = score.measure(None, Request(1), 0)
    assert json.loads(json.dumps(row)) == row and not said
    for source in score.SOURCES:
        assert row[source] == {"sim_i": 1, "other": 0, "nearest": 0, "acc1": 1, "acc3": 1, "chance": 0.25}
    said[:] = spoiled
    permuted = score.measure(None, Request(1, options={"permuted": True}), 0)
    assert permuted[score.SOURCES[0]]["acc1"] == 0 and permuted[score.SOURCES[0]]["other"] == pytest.approx(1 / 3)


def test_the_encoder_that_ships_distinguishes_objects_and_random_weights_do_not(monkeypatch):
    monkeypatch.setattr(score, "OBJECTS", 10)
    trained, random = (
        score.measure(score.prepare(Request(1, untrained=untrained)), Request(1), 0) for untrained in (False, True)
    )
    assert trained["whole, grey"]["acc1"] > random["whole, grey"]["acc1"] + 0.2
    assert trained["whole, grey"]["sim_i"] > trained["whole, grey"]["other"] + 0.2


def test_another_model_is_refused():
    with pytest.raises(ValueError, match="the picture encoder that ships"):
        score.prepare(Request(1, model="elsewhere"))


def test_the_table_has_a_line_for_every_way_of_making_sources(few):
    rows = [score.measure(score.prepare(Request(1)), Request(1), 0)]
    result = {"cases": 1, "split": "development", "seed": 0, "summary": score.figures(rows, Request(1))}
    lines = score.table(result).splitlines()
    assert [line[: len(source)] for line, source in zip(lines[2:], score.SOURCES, strict=True)] == list(score.SOURCES)
    assert score.headline(result["summary"])["whole, grey"]["chance"] == 0.25
