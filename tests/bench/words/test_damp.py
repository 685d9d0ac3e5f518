"""``bench damp``: where a picture changes, in known parts, and runs on a model that knows nothing."""

import argparse
import json

import pytest
import torch

from concept_atelier.bench.harness import Request
from concept_atelier.bench.words import damp
from concept_atelier.bench.words.cases import Word
from concept_atelier.core.attribute.edit_by_words import WordEdit
from concept_atelier.lab.judge.judge import load_judge

LEFT = torch.zeros(128, 128, dtype=torch.bool)
LEFT[:, :32] = True


def edited(changed, region):
    """A picture that changes by 0.5 in a part, and not elsewhere."""
    before = torch.zeros(1, 3, 128, 128)
    return WordEdit(before, before + 0.5 * changed, region, 0.0, 0.0)


def test_change_is_measured_inside_outside_at_the_others_and_in_the_same_shape_elsewhere():
    found = damp.changes(edited(LEFT, LEFT), LEFT, LEFT.roll(64, 1))
    assert found == {
        "inside": 0.5, "outside": 0.0, "others": 0.0, "elsewhere": 0.0, "inside_drawn": 0.5, "outside_drawn": 0.0,
        "more": 0.5, "right": 1.0,
    }  # fmt: skip
    wrong = damp.changes(edited(LEFT.roll(64, 1), LEFT), LEFT, LEFT.roll(64, 1))
    assert (wrong["inside"], wrong["others"], wrong["elsewhere"], wrong["right"]) == (0.0, 0.5, 0.5, 0.0)
    assert wrong["outside"] == pytest.approx(0.5 / 3, abs=1e-4) and wrong["more"] == -wrong["outside"]


def test_a_map_of_nothing_is_not_measured():
    none = torch.zeros_like(LEFT)
    found = damp.changes(edited(LEFT, none), none, none)
    assert [found[key] for key in ("inside", "others", "elsewhere", "inside_drawn", "more", "right")] == [None] * 6


def test_the_judge_loses_what_is_gone_and_counts_the_others_it_saw():
    class Sees:
        def __init__(self, before, after):
            self.seen = torch.tensor([before, after])

        def look(self, pictures):
            return self

        def presence(self):
            return self.seen

        def index(self, name):
            return ("cat", "dog", "car").index(name)

    words = [Word("name", name, LEFT) for name in ("cat", "dog", "car")]
    edit = edited(LEFT, LEFT)
    assert damp.seen_of(Sees([0.9, 0.9, 0.9], [0.1, 0.9, 0.2]), edit, words[0], words) == {"gone": 1.0, "kept": 0.5}
    assert damp.seen_of(Sees([0.9, 0.1, 0.2], [0.8, 0.9, 0.2]), edit, words[0], words) == {"gone": 0.0, "kept": None}
    assert damp.seen_of(Sees([0.1, 0.9, 0.2], [0.8, 0.9, 0.2]), edit, words[0], words) == {"gone": None, "kept": 1.0}


def test_rows_figures_and_a_table(untrained, monkeypatch):
    monkeypatch.setattr(damp, "STEPS", 2)
    request = Request(2, untrained=True, options={"caption": "short"})
    rows = [damp.measure((untrained, load_judge()), request, index) for index in range(2)]
    assert json.loads(json.dumps(rows)) == rows and [len(row["names"]) for row in rows] == [1, 2]
    summary = damp.figures(rows, request)
    assert summary["names"] == 3 and summary["inside"]["mean"] > 0
    result = {"options": request.options, "summary": summary, "cases": 2, "split": "development", "seed": 0}
    assert "2 development captions (short), seed 0, maps of attention; 3 names" in damp.table(result)
    assert damp.figures([{"names": []}], request)["inside"] is None


def test_options_are_kept_only_where_they_decide_something(monkeypatch):
    parser = argparse.ArgumentParser()
    damp.add_arguments(parser)
    given = []
    monkeypatch.setattr(damp, "run_command", lambda bench, args, options, controls: given.append(options) or 0)
    for words in ([], ["--maps", "both", "--caption", "short"]):
        assert damp.main(parser.parse_args(words)) == 0
    assert given == [{}, {"maps": "both", "levels": 25, "caption": "short"}]


def test_damping_a_name_changes_the_picture_where_its_map_is(monkeypatch):
    """The lab model, one scene; a check of what the bench measures over many."""
    from concept_atelier.bench.command import load_backbone

    monkeypatch.setattr(damp, "STEPS", 6)
    row = damp.measure((load_backbone(), load_judge()), Request(1), 0)
    assert [entry["right"] for entry in row["names"]] == [1.0]
    assert row["names"][0]["inside"] > 4 * row["names"][0]["outside"]
