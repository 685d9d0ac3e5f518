"""The page of results says what the files say, and no more."""

import json

import pytest

from concept_atelier.bench.lab import FIGURES
from concept_atelier.tools.pages.results import PARTS, lab_table, localised_table, verdict, with_results


def value(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def write_lab(folder, mean):
    summary = {name: value(mean) for name in FIGURES} | {"vae_psnr": value(27.4), "synonym": value(mean - 0.1)}
    (folder / "lab.json").write_text(json.dumps({"cases": 64, "seed": 0, "summary": summary}))


def test_every_aim_stands_beside_what_was_found(tmp_path):
    write_lab(tmp_path, 0.85)
    lines = {line.split("|")[1].strip(): line for line in lab_table(tmp_path).splitlines() if line.startswith("|")}
    assert "27.400 [27.39 27.41] | yes" in lines["autoencoder, dB"]
    assert "0.95 | 0.850 [0.84 0.86] | no" in lines["one object: exactly that"]
    assert "0.8 | 0.850 [0.84 0.86] | yes" in lines["two objects: exactly those"]
    assert "0.100 | no" in lines["a synonym's distance from its name"]
    assert "--cases 64" in lab_table(tmp_path)  # as many as were measured


def test_marked_parts_are_written_anew_and_the_rest_stays(tmp_path):
    page = "# Results\n" + "".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->\nmine\n" for name in PARTS)
    written = with_results(page, tmp_path)
    assert "Not measured with these weights yet: `bench lab --split test" in written
    assert "not measured |  | `bench localize --split test --cases 32 --hand noto`" in written
    assert "old" not in written and written.count("mine") == len(PARTS) and written.startswith("# Results\n")
    assert with_results(written, tmp_path) == written
    with pytest.raises(ValueError, match="needs the marks <!-- lab model -->"):
        with_results("# Results", tmp_path)


def test_localisation_on_other_hands_is_shown(tmp_path):
    scores = {"concepts": {"grid": {"miou": value(0.7)}, "pixel": {"miou": value(0.75)}}}
    found = {"cases": 16, "seed": 0, "summary": {"all": {"scores": scores}}}
    (tmp_path / "localize_noto.json").write_text(json.dumps(found))
    assert "16 | 0.700 [0.69 0.71] | 0.750 [0.74 0.76] | `bench localize" in localised_table(tmp_path)


def test_an_aim_is_reached_at_its_value():
    assert [verdict(0.9, 0.9), verdict(0.89, 0.9), verdict(0.1, None)] == ["yes", "no", ""]
