"""Attacks and guards on the lab transformer: a row for each method that was attacked, and what is not measured."""

import json

from concept_atelier.bench.all.queue import queue
from concept_atelier.tools.pages.transformer_attacks import FILES, attacks
from concept_atelier.tools.pages.transformer_results import PARTS


def test_methods_and_guards_have_rows_and_files_that_are_missing_their_commands(tmp_path):
    entry = {"found": 0.25, "floor": 0.0, "ceiling": 1.0}
    of = {"names": entry, "relearning": entry | {"half": 20.0, "never": 0}}
    summaries = {
        "attack": {"methods": {"uce": of, "mace": {"names": entry}}, "kept": {}},
        "attack_guard_dve_alone": {"methods": {"none": {"inversion": entry}}, "kept": {}},
    }
    (tmp_path / "transformer").mkdir()
    for name, summary in summaries.items():
        summary["kept"] = {method: {"before": 1.0, "after": 0.75} for method in summary["methods"]}
        rows = [{"method": method} for method in summary["methods"]] * 2
        found = {"cases": len(rows), "seed": 0, "summary": summary, "rows": rows}
        (tmp_path / f"transformer/{name}.json").write_text(json.dumps(found))
    rows = attacks(tmp_path).splitlines()[2:]
    cell = "0.25 (0.00, 1.00)"
    assert rows[0].startswith(
        f"| erased by UCE | none | 2 | {cell} | - | - | - | - | 20 steps | 1.00, 0.75 | `bench attack"
    )
    assert "--cases 4 " in rows[0] and rows[1].startswith("| erased by MACE, its closed forms | none | 2 |")
    for row, name in ((rows[2], "attack_trained"), (rows[3], "attack_guard_none")):
        assert row.startswith("| not measured yet | none |") and queue()[f"transformer/{name}.json"] in row
    assert rows[-1].startswith(f"| as it is | DVE | 2 | - | - | - | {cell} | - | - | 1.00, 0.75 |")
    assert len(rows) == len(FILES) + 1 and PARTS["attacks"] is attacks
