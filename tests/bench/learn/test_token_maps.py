"""Whether heat maps of learnt tokens fit the objects they were learnt from."""

import argparse

import pytest
import torch

from concept_atelier.bench.cases import case_of
from concept_atelier.bench.learn import learn, token_maps
from concept_atelier.bench.learn.token_maps import MAP_SCORES, map_scores
from concept_atelier.core.types import ConceptTokens
from concept_atelier.lab.world.scene import SceneSettings, sample_scene


@pytest.fixture(scope="module")
def scene():
    return case_of(sample_scene("train", 5, SceneSettings(counts=(3,))), 5)


def test_each_token_is_scored_against_its_own_object(untrained, scene, monkeypatch):
    """Maps that are the masks of the objects 2 and 0, in which the tokens 1 and 2 are placed."""
    read = []

    def maps(reading, words, kinds):
        read.append((reading.text, words))
        return torch.stack([scene.masks[2], scene.masks[0]])[None].float()

    monkeypatch.setattr(token_maps, "word_maps", maps)
    tokens = ConceptTokens({name: untrained.word_vectors("cat") for name in ("1", "2")}, "lab")
    found = map_scores(untrained, scene, tokens, (2, 0), "a photo of {}")
    one = dict.fromkeys(MAP_SCORES, 1.0)
    assert found == [one, dict.fromkeys(MAP_SCORES, 0.0), one]
    assert read == [("a photo of <1> and <2>", ["<1>", "<2>"])]
    swapped = map_scores(untrained, scene, tokens, (0, 2), "a photo of {}")
    assert swapped[0] == swapped[2] == dict.fromkeys(MAP_SCORES, 0.0)


def test_maps_are_read_in_the_model_and_none_where_nothing_was_learnt(untrained, scene):
    tokens = ConceptTokens({"1": untrained.word_vectors("cat")}, "lab")
    found = map_scores(untrained, scene, tokens, (1,), "a photo of {}")
    assert 0 <= found[1]["map_iou"] <= 1 and found[0] == found[2] == dict.fromkeys(MAP_SCORES, 0.0)
    assert map_scores(untrained, scene, ConceptTokens({}, "lab"), (), "a photo of {}") == [found[0]] * 3


def test_scores_of_maps_are_in_the_figures_if_they_were_asked_for():
    parser = argparse.ArgumentParser()
    learn.add_arguments(parser)
    options = learn.options_of(parser.parse_args(["--maps", "--set", "cycle_weight=0.5"]))
    assert options["maps"] is True and options["settings"] == {"cycle_weight": 0.5}
    entry = {"sim_i": 0.5, "acc1": True, "acc3": True, "map_iou": 0.25, "map_point": 1.0}
    row = {"unseen": False, "objects": [entry], "sim_c": 0.5, "passes": 10, "seconds": 2.0}
    for asked in (options, {}):
        summary = learn.figures([row], learn.Request(1, options=asked))
        table = learn.table({"cases": 1, "split": "test", "seed": 0, "summary": summary})
        assert ("map_iou" in summary["seen"]) == ("IoU of a token's map" in table) == bool(asked)
