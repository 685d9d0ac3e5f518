"""Learning methods beside one another, from files with known figures."""

import json

import pytest
from PIL import Image

from concept_atelier.__main__ import main
from concept_atelier.bench.learn import curve, ranking
from concept_atelier.bench.learn.entries import combine, read


def write(folder, name, acc1, passes, method="cones", seed=1, **options):
    def held(value):
        return {"mean": value, "low": max(value - 0.1, 0), "high": min(value + 0.1, 1)}

    scores = {"acc1": held(acc1), "sim_i": held(acc1 / 2), "sim_c": held(0.5), "passes": held(passes)}
    summary = {group: {"cases": 3, **scores} for group in ("seen", "unseen")}
    options = {"method": method, "preset": "lab", **options}
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps(
            {
                "bench": "learn",
                "schema": 2,
                "cases": 6,
                "split": "test",
                "seed": seed,
                "options": options,
                "summary": summary,
            }
        )
    )
    return path


def test_names_say_what_differs(tmp_path):
    entry = read(write(tmp_path, "a", 0.5, 100, settings={"steps": 60, "even": True}, classes=True))
    assert entry.name == "cones small even True, steps 60 classes"
    assert (entry.cases, entry.scenes, entry.seeds, entry.mean("acc1"), entry.mean("passes", "unseen")) == (
        6,
        "test, 1 to 4 objects",
        (1,),
        0.5,
        100,
    )


def test_the_best_stands_first_and_claims_are_judged_by_each_methods_best_run(tmp_path):
    paths = [
        write(tmp_path, "ce", 0.4, 500, "conceptexpress"),
        write(tmp_path, "ce2", 0.7, 300, "conceptexpress", settings={"steps": 60}),
        write(tmp_path, "bas", 0.6, 400, "break_a_scene"),
    ]
    entries = [read(path) for path in paths]
    assert [row[0] for row in ranking.rows_of(entries)[1:]] == [
        "conceptexpress small steps 60",
        "break_a_scene small",
        "conceptexpress small",
    ]
    said = ranking.verdicts(entries)
    assert len(said) == 3 and "found here too, 0.700 and 0.600 on 6 test" in said[2]
    assert "not found here, 0.500 and 0.500" in said[1]
    assert "not found here, 0.400 and 0.600" in ranking.verdicts([entries[0], entries[2]])[2]
    assert ranking.verdicts(entries[:2]) == []


def test_seeds_are_joined_and_their_spread_is_reported(tmp_path):
    paths = [write(tmp_path, f"s{seed}", acc1, 100, seed=seed) for seed, acc1 in ((1, 0.2), (2, 0.6), (3, 0.4))]
    paths.append(write(tmp_path, "other", 0.3, 100, "far"))
    joined, other = combine([read(path) for path in paths])
    assert joined.seeds == (1, 2, 3) and joined.cases == 18 and other.seeds == (1,)
    assert joined.figures["seen"]["acc1"] == pytest.approx({"mean": 0.4, "low": 0.2, "high": 0.6})
    _, row, _ = ranking.rows_of([joined, other])
    assert row[2] == "0.40 [0.20 0.60]" and row[-1] == "18 test, 1 to 4 objects, 3 seeds"


def test_seeds_of_a_preset_that_has_changed_since_are_not_joined(tmp_path):
    runs = [read(write(tmp_path, f"s{steps}", 0.5, 100, seed=steps, values={"steps": steps})) for steps in (200, 300)]
    assert [entry.seeds for entry in combine(runs)] == [(200,), (300,)]


def test_only_runs_on_the_same_scenes_are_compared(tmp_path):
    """Seed by seed; what one method has on other scenes, or more of them, has no say."""
    ours = [write(tmp_path, f"c{seed}", acc1, 100, "conceptexpress", seed=seed) for seed, acc1 in ((1, 0.2), (2, 0.6))]
    theirs = [write(tmp_path, f"b{seed}", acc1, 100, "break_a_scene", seed=seed) for seed, acc1 in ((1, 0.1), (2, 0.3))]
    alone = write(tmp_path, "c3", 0.9, 100, "conceptexpress", seed=3)
    apart = write(tmp_path, "few", 0.9, 100, "break_a_scene", seed=1, objects=[1, 2])
    (line,) = [
        line for line in ranking.verdicts([read(path) for path in [*ours, *theirs, alone, apart]]) if "ACC" in line
    ]
    assert line.endswith("found here too, 0.400 and 0.200 on 6 test, 1 to 4 objects, 2 seeds")


def test_scenes_stay_together_and_test_scenes_come_first(tmp_path):
    paths = [
        write(tmp_path, "a", 0.9, 100, objects=[1, 3]),
        write(tmp_path, "b", 0.2, 100),
        write(tmp_path, "c", 0.5, 100, "far", objects=[1, 3]),
    ]
    rows = ranking.rows_of([read(path) for path in paths])[1:]
    assert [(row[0], row[-1]) for row in rows] == [
        ("cones small", "6 test, 1 to 3 objects"),
        ("far small", "6 test, 1 to 3 objects"),
        ("cones small", "6 test, 1 to 4 objects"),
    ]
    lines = ranking.markdown([["way", "scenes"], *[[row[0], row[-1]] for row in rows]]).splitlines()
    assert lines[1] == "|---|---|" and lines[2] == "| cones small | 6 test, 1 to 3 objects |"


def test_the_command_prints_and_draws(tmp_path, capsys):
    paths = [write(tmp_path, "few", 0.2, 100), write(tmp_path, "many", 0.9, 3000, "far")]
    picture = tmp_path / "curve.png"
    assert main(["bench", "ranking", *map(str, paths), "--curve", str(picture)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("far small")
    drawn = Image.open(picture).convert("RGB")
    colours = {drawn.getpixel((x, y)) for x in range(drawn.width) for y in range(drawn.height)}
    assert {curve.PALETTE[0], curve.PALETTE[1]} <= colours


def test_places_on_the_plot():
    panel = curve.Panel(None, (0, 0, 100, 50), (10, 1000))
    assert panel.place(100, 0.5) == pytest.approx((50, 25))
    assert panel.place(10, 0) == pytest.approx((0, 50)) and panel.place(1000, 1) == pytest.approx((100, 0))


def test_files_of_other_benches_are_refused(tmp_path):
    path = tmp_path / "lab.json"
    path.write_text(json.dumps({"bench": "lab"}))
    with pytest.raises(ValueError, match="no file of bench learn"):
        read(path)
