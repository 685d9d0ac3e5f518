"""Scores as text, CSV, JSON and files."""

import csv
import io
import json

import pytest
import torch

from concept_atelier.core.evaluate.scores import ConceptScores
from concept_atelier.host.files.names import BadNameError
from concept_atelier.host.jobs.evaluate.score_reports import (
    COLUMNS,
    concept_rows,
    describe_scores,
    mean_row,
    save_reports,
    scores_csv,
    scores_json,
)


@pytest.fixture
def scores():
    cosines = torch.tensor([[[0.9, 0.2, 0.1], [0.3, 0.6, 0.5]], [[0.8, 0.1, 0.4], [0.2, 0.7, 0.1]]])
    return ConceptScores(("a, b", "2"), ("a, b", "2", "hat"), cosines, torch.tensor([0.5, 0.7, 0.9]))


def test_the_csv_reads_back(scores):
    rows = list(csv.DictReader(io.StringIO(scores_csv(scores))))
    assert list(rows[0]) == list(COLUMNS) and [row["concept"] for row in rows] == ["a, b", "2", "(all)"]
    assert rows[0] | {"sim_i": "0.6000", "acc_1": "0.5000", "acc_3": "1.0000", "sim_c": "", "pictures": "2"} == rows[0]
    assert rows[0]["closest_other"] == "2" and rows[0]["sim_other"] == "0.4000" and rows[0]["candidates"] == "3"
    assert rows[2] | {"sim_i": "0.5000", "sim_c": "0.7000", "closest_other": "", "pictures": "3"} == rows[2]


def test_the_json_holds_everything(scores):
    body = json.loads(scores_json(scores, {"seed": 5}))
    assert body["settings"] == {"seed": 5} and body["candidates"] == ["a, b", "2", "hat"]
    assert body["similarity"]["2"] == [[0.8, 0.1, 0.4], [0.2, 0.7, 0.1]] and body["composition"] == [0.5, 0.7, 0.9]
    assert [row["concept"] for row in body["concepts"]] == ["a, b", "2"]
    assert body["all"]["sim_c"] == pytest.approx(0.7) and body["concepts"][0]["sim_i"] == pytest.approx(0.6)


def test_words_for_people(scores):
    first, _, total, chance, note = describe_scores(scores).splitlines()
    assert first == "<a, b>: SIM^I 0.600 (closest other: 2 0.400), ACC^1 0.50, ACC^3 1.00"
    assert total == "all: SIM^I 0.500, SIM^C 0.700, ACC^1 0.50, ACC^3 1.00"
    assert chance == "ACC^k: chosen from 3 concepts; guessing gives 0.33, 1.00"
    assert note.startswith("Note: among so few")


def test_the_note_goes_with_more_concepts():
    many = ConceptScores(("a",), tuple("abcd"), torch.rand(1, 2, 4), torch.ones(1))
    assert "note" not in describe_scores(many)


def test_a_single_concept_has_no_other_and_is_still_json():
    alone = ConceptScores(("a",), ("a",), torch.full((1, 2, 1), 0.5), torch.ones(1))
    assert concept_rows(alone)[0]["closest_other"] is None and "like" not in describe_scores(alone)
    assert "NaN" not in scores_json(alone, {}) and mean_row(alone)["sim_i"] == 0.5


def test_files_are_counted_together_and_nothing_is_replaced(tmp_path):
    first = save_reports(tmp_path, "a/b", {"csv": "1", "json": "2"})
    assert [path.relative_to(tmp_path).as_posix() for path in first] == ["a/b_00001_.csv", "a/b_00001_.json"]
    second = save_reports(tmp_path, "a/b", {"csv": "3", "json": "4"})
    assert [path.name for path in second] == ["b_00002_.csv", "b_00002_.json"]
    assert [path.read_text() for path in (*first, *second)] == ["1", "2", "3", "4"]
    assert len(list(tmp_path.rglob("*.*"))) == 4


def test_a_prefix_cannot_leave_the_folder(tmp_path):
    with pytest.raises(BadNameError, match="filename_prefix"):
        save_reports(tmp_path / "out", "../b", {"csv": ""})
    assert not list(tmp_path.iterdir())
