"""What ``bench learn`` learns and judges, on models that know nothing and on known answers."""

import argparse
import json

import pytest
import torch

from concept_atelier.bench import drawing
from concept_atelier.bench.cases import case_of
from concept_atelier.bench.harness import Request
from concept_atelier.bench.learn import learn
from concept_atelier.core.types import ConceptTokens
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import Judge, Reading, build_network
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.scene import SceneSettings, sample_scene

NAMES = tuple(kind.name for kind in load_atlas().kinds)


@pytest.fixture(scope="module")
def guessing():
    return Judge(build_network().eval(), NAMES, 0.5, CounterNet())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(drawing, "STEPS", 1)
    monkeypatch.setattr(learn, "DRAWS", 2)


def request(**options):
    return Request(6, split="test", options={"settings": {"steps": 1, "start": "rare"}, **options})


def test_a_case_scores_every_object_and_counts_its_passes(untrained, guessing):
    row = learn.measure((untrained, guessing), request(maps=True), 3)
    assert all(0 <= entry["map_iou"] <= 1 for entry in row["objects"])
    assert json.loads(json.dumps(row)) == row
    assert row["unseen"] and len(row["objects"]) == 2
    assert row["passes"] == 3  # two alone and one together, one step
    assert row["seconds"] > 0 and -1 <= row["sim_c"] <= 1
    assert all(load_atlas().kind(entry["name"]).split == "test" for entry in row["objects"])


def test_another_method_its_settings_and_true_words(untrained, case):
    options = {"method": "cones", "settings": {"steps": 2, "fit_steps": 1}, "words": True, "classes": True}
    learnt = learn.learn_case(untrained, case, Request(1, options=options))
    metadata = learnt.tokens.metadata
    assert learnt.passes == 2 and metadata["method"] == "cones"
    assert json.loads(metadata["words"]) == json.loads(metadata["classes"]) == {"1": case.names[0]}


def test_concepts_that_were_not_found_score_zero(untrained, guessing):
    row = learn.measure((untrained, guessing), request(found=True), 0)  # random weights find no object by half
    assert row["objects"][0]["sim_i"] == 0 and not row["objects"][0]["acc3"]
    assert (row["sim_c"], row["passes"]) == (0, 0)


class Sees:
    """A judge that sees one kind in every picture, in one place."""

    names = NAMES

    def __init__(self, name, second=None):
        self.name, self.second = name, second

    def index(self, name):
        return NAMES.index(name)

    def look(self, pictures):
        objects = torch.zeros(len(pictures), len(NAMES) + 1, 16, 16)
        objects[:, -1] = 1
        objects[:, -1, :4, :4] = 0
        objects[:, NAMES.index(self.name), :4, :4] = 1.0
        if self.second:
            objects[:, NAMES.index(self.second), :4, :4] = 0.5
        cells = torch.ones(len(pictures), 4, 16, 16)
        return Reading(objects, objects, objects, cells, cells[:, :2])


@pytest.fixture
def case():
    return case_of(sample_scene("train", 0, SceneSettings(counts=(1,))), 0)


@pytest.mark.parametrize(("best", "second", "acc1", "acc3"), [(True, False, True, True), (False, True, False, True)])
def test_accuracy_ranks_the_object_among_those_of_the_split(untrained, case, best, second, acc1, acc3):
    own = case.names[0]
    other = next(kind.name for kind in load_atlas().of_split("train") if kind.name != own)
    judge = Sees(own if best else other, own if second else None)
    vectors = {"1": untrained.word_vectors("cat")}
    learnt = learn.Learnt(ConceptTokens(vectors, "lab"), (0,), 0, 0.0)
    entry = learn.judge_token(untrained, judge, case, learnt, 0, False, request())
    assert (entry["acc1"], entry["acc3"]) == (acc1, acc3)
    assert entry["sim_i"] == pytest.approx(1) and entry["named"] == judge.name


def test_untrained_tokens_stay_where_they_start(untrained, case):
    control = learn.learn_case(untrained, case, request(untrained_tokens=True)).tokens
    trained = learn.learn_case(untrained, case, request()).tokens
    (start,), (moved,) = control.vectors["1"].values(), trained.vectors["1"].values()
    assert not torch.equal(start, moved)
    again = learn.learn_case(untrained, case, request(untrained_tokens=True)).tokens
    assert torch.allclose(start, again.vectors["1"]["clip_l"], atol=1e-9)
    assert torch.allclose(start, moved, atol=0.02)  # one step goes no further than the learning rate


def test_shuffled_masks_never_cover_their_own_object(untrained, case):
    for count in (2, 3):
        scene = sample_scene("train", 5, SceneSettings(counts=(count,)))
        some = case_of(scene, 5)
        concepts = learn.shuffled(untrained, some)
        own, _ = learn.true_concepts(untrained, some)
        assert len(concepts) == count
        assert (concepts.masks & own.masks).sum() <= 2  # cells of a rim that both cover by half
    single = case_of(sample_scene("train", 5, SceneSettings(counts=(1,))), 5)
    with pytest.raises(ValueError, match="two objects or more"):
        learn.shuffled(untrained, single)


def test_masks_on_cells_keep_their_area():
    masks = torch.zeros(1, 24, 16, dtype=torch.bool)
    masks[0, :8, :4] = True
    cells = learn.on_cells(masks)
    assert cells.shape == (1, 4, 2) and cells.sum() == 0.5


def test_figures_stand_apart_for_seen_and_unseen_objects():
    def row(unseen, right):
        objects = [{"sim_i": 0.5, "acc1": right, "acc3": True}, {"sim_i": 0.7, "acc1": True, "acc3": True}]
        return {"unseen": unseen, "objects": objects, "sim_c": 0.25, "passes": 10, "seconds": 2.0}

    summary = learn.figures([row(False, True), row(True, False)], request())
    assert summary["seen"]["acc1"]["mean"] == 1 and summary["unseen"]["acc1"]["mean"] == 0.5
    assert summary["seen"]["sim_i"]["mean"] == 0.6 and summary["seen"]["sim_c"]["mean"] == 0.25
    assert learn.headline(summary)["unseen"]["acc1"] == 0.5
    assert "seen (1 scenes)" in learn.table({"cases": 2, "split": "test", "seed": 0, "summary": summary})


def test_a_run_keeps_every_setting_it_was_made_with():
    parser = argparse.ArgumentParser()
    learn.add_arguments(parser)
    options = learn.options_of(parser.parse_args(["--method", "far", "--steps", "7", "--set", "rank=3", "--classes"]))
    assert options["settings"] == {"steps": 7, "rank": 3} and options["classes"] is True and "words" not in options
    values = json.loads(json.dumps(options["values"]))
    assert (values["steps"], values["rank"], values["prior"]) == (7, 3, 4)
