"""The tables of docs/surgery.md: every part of the bench, and what is said where its file is missing."""

import json

from concept_atelier.bench.surgery.heads import WAYS
from concept_atelier.bench.surgery.surgery import PARTS
from concept_atelier.tools.pages.surgery_results import SURGERY, measured


def test_a_part_is_shown_with_its_command_or_named_as_missing(tmp_path):
    assert SURGERY == PARTS
    assert all(f"--part {part}" in measured(part, tmp_path) for part in SURGERY)
    (tmp_path / "surgery").mkdir()
    way = {"skill": 0.25, "others": 1.0, "numbers": 512}
    found = {"cases": 1, "seed": 0, "summary": {"object A": dict.fromkeys(WAYS, way)}}
    (tmp_path / "surgery/heads.json").write_text(json.dumps(found))
    written = measured("heads", tmp_path)
    assert "`bench surgery --split test --part heads --cases 1`" in written and "512 | 0.25 | 1.00 |" in written
