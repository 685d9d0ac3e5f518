"""Learning methods beside one another, from files with known figures."""

import json

import pytest
from PIL import Image

from concept_atelier.__main__ import main
from concept_atelier.lab.bench import ranking


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
    entry = ranking.read(write(tmp_path, "a", 0.5, 100, settings={"steps": 60, "even": True}, classes=True))
    assert entry.name == "cones lab steps 60, even True classes"
    assert (entry.cases, entry.scenes, entry.seeds, entry.mean("acc1"), entry.mean("passes", "unseen")) == (
        6,
        "test, 1 to 4 objects",
        (1,),
        0.5,
        100,
    )


def test_the_best_stands_first_and_claims_are_judged_by_each_methods_best(tmp_path):
    paths = [
        write(tmp_path, "ce", 0.4, 500, "conceptexpress"),
        write(tmp_path, "ce2", 0.7, 300, "conceptexpress", settings={"steps": 60}),
        write(tmp_path, "bas", 0.6, 400, "break_a_scene"),
    ]
    entries = [ranking.read(path) for path in paths]
    lines = ranking.table(entries).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "conceptexpress lab steps 60",
        "break_a_scene lab",
        "conceptexpress lab",
    ]
    said = ranking.verdicts(entries)
    assert len(said) == 3 and "found here too, 0.700 and 0.600" in said[2]
    assert "not found here, 0.500 and 0.500" in said[1]
    assert "not found here, 0.400 and 0.600" in ranking.verdicts([entries[0], entries[2]])[2]
    assert ranking.verdicts(entries[:2]) == []


def test_seeds_are_joined_and_their_spread_is_said(tmp_path):
    paths = [write(tmp_path, f"s{seed}", acc1, 100, seed=seed) for seed, acc1 in ((1, 0.2), (2, 0.6), (3, 0.4))]
    paths.append(write(tmp_path, "other", 0.3, 100, "far"))
    joined, other = ranking.combine([ranking.read(path) for path in paths])
    assert joined.seeds == (1, 2, 3) and joined.cases == 18 and other.seeds == (1,)
    assert joined.figures["seen"]["acc1"] == pytest.approx({"mean": 0.4, "low": 0.2, "high": 0.6})
    assert "0.400 [0.20 0.60]" in ranking.table([joined, other]) and "3 seeds" in ranking.table([joined])


def test_the_command_prints_and_draws(tmp_path, capsys):
    paths = [write(tmp_path, "few", 0.2, 100), write(tmp_path, "many", 0.9, 3000, "far")]
    picture = tmp_path / "curve.png"
    assert main(["bench", "ranking", *map(str, paths), "--curve", str(picture)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("far lab")
    drawn = Image.open(picture).convert("RGB")
    colours = {drawn.getpixel((x, y)) for x in range(drawn.width) for y in range(drawn.height)}
    assert {ranking.PALETTE[0], ranking.PALETTE[1]} <= colours


def test_places_on_the_plot():
    panel = ranking.Panel(None, (0, 0, 100, 50), (10, 1000))
    assert panel.place(100, 0.5) == pytest.approx((50, 25))
    assert panel.place(10, 0) == pytest.approx((0, 50)) and panel.place(1000, 1) == pytest.approx((100, 0))


def test_files_of_other_benches_are_refused(tmp_path):
    path = tmp_path / "lab.json"
    path.write_text(json.dumps({"bench": "lab"}))
    with pytest.raises(ValueError, match="no file of bench learn"):
        ranking.read(path)
