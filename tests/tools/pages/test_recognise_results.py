"""The tables of docs/recognise-results.md: what the files say, or that they are missing."""

import json

from concept_atelier.bench.recognise.dependencies import SCORES, WAYS
from concept_atelier.tools.pages.recognise_results import OF_SUBJECTS, RECOGNISED


def test_every_part_is_named_as_missing_with_its_command(tmp_path):
    for name, write in RECOGNISED.items():
        assert "Not measured with these weights yet: `bench" in write(tmp_path), name
    assert RECOGNISED["subjects"](tmp_path).count("--cases 12") == len(OF_SUBJECTS)


def test_a_part_says_what_its_file_says_with_controls(tmp_path):
    (tmp_path / "recognise").mkdir()
    way = {name: {"mean": 0.5, "low": 0.25, "high": 0.75} for name in SCORES}
    control = {"says": "planted", "figure": 0.125, "at_most": 0.3}
    found = {"cases": 3, "seed": 0, "summary": dict.fromkeys(WAYS, way), "controls": {"shuffled": control}}
    (tmp_path / "recognise/dependencies.json").write_text(json.dumps(found))
    written = RECOGNISED["dependencies"](tmp_path)
    assert written.count("0.500 [0.25 0.75]") == len(WAYS) * len(SCORES)
    assert "--cases 3" in written and "planted, 0.125 (0.3 allowed)" in written
