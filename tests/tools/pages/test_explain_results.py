"""The tables of docs/explain.md say what the files say, and name the command where a file is missing."""

import json

from concept_atelier.bench.explain import audit, importance, steer
from concept_atelier.bench.explain.explain import SCORES
from concept_atelier.tools.pages.explain_results import (
    MEASURED,
    WHOLE,
    as_a_whole,
    audits,
    by_factor,
    importances,
    steering,
)


def value(mean):
    return {"mean": mean, "low": mean, "high": mean}


def write(folder, name, summary):
    (folder / "explain").mkdir(exist_ok=True)
    (folder / f"explain/{name}.json").write_text(json.dumps({"cases": 2, "seed": 0, "summary": summary}))


def test_methods_stand_by_factor_and_as_a_whole(tmp_path):
    kinds = {"object": 0.9, "style": 0.8}  # a folder without colours
    summary = {kind: {score: value(mean) for score in SCORES} for kind, mean in kinds.items()}
    write(tmp_path, "tower_kmeans", summary | {name: value(0.25) for name in WHOLE})
    rows = by_factor("tower", tmp_path).splitlines()
    assert len(rows) == 2 + len(MEASURED) + 1  # the measured one has two
    at = rows.index("| `kmeans` | objects | " + " | ".join(["0.90"] * 8) + " |")
    assert rows[at + 1] == "|  | styles | " + " | ".join(["0.80"] * 8) + " |"
    assert rows[at + 2].startswith("| `pca` | Not measured with these weights yet: `bench explain --split test")
    assert "| `kmeans` | 0.25 | 0.25 | 0.25 | 0.25 |" in as_a_whole("tower", tmp_path)
    assert "0.25" not in as_a_whole("denoiser", tmp_path)
    assert len({row.count("|") for row in rows}) == 1


def test_importances_and_steering_stand_under_their_command(tmp_path):
    name = "explain/importance_tower.json"
    assert "`bench importance --split test --cases 4 --source tower`" in importances(name, tmp_path)
    ways = {way: dict.fromkeys(importance.FIGURES, value(0.5)) for way in importance.WAYS}
    write(tmp_path, "importance_tower", ways | {"removal": {key: value(-0.01) for key in importance.FIGURES}})
    written = importances(name, tmp_path)
    assert written.startswith("2 cases, seed 0: `bench importance --split test --cases 2 --source tower`.")
    assert "| `gradient` | 0.50 | 0.50 |" in written and "| `removal` | -0.01 | -0.01 |" in written
    assert "Not measured" in steering(tmp_path)
    write(tmp_path, "steer", {way: {"target": value(0.75), "others": value(1.0)} for way in steer.WAYS})
    assert "| Erase Concepts (uce) | 0.75 | 1.00 |" in steering(tmp_path)


def test_audits_of_scenes_and_of_drawings_stand_side_by_side(tmp_path):
    assert audits(tmp_path).count("Not measured") == 3 and "|" not in audits(tmp_path)
    write(tmp_path, "audit", dict.fromkeys(audit.FIGURES, value(2.0)))
    alone = audits(tmp_path)
    assert alone.count("Not measured") == 2 and "| withheld objects found, of 2 | 2.00 |" in alone
    write(tmp_path, "audit_drawings", dict.fromkeys(audit.FIGURES, value(0.5)))
    assert "| withheld objects found, of 2 | 2.00 | 0.50 |" in audits(tmp_path)
    assert "`bench audit --split test --cases 2 --of drawings`" in audits(tmp_path)
