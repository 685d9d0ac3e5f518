"""The table of all methods of erasing: figures of every file in one line, and what is missing."""

import json

from concept_atelier.core.erase.registry import METHODS
from concept_atelier.tools.pages.erasure_overview import COLUMNS, overview


def write(folder, file, summary):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"summary": {key: {"mean": mean} for key, mean in summary.items()}}))


def line_of(written, title):
    (line,) = [line for line in written.splitlines() if line.startswith(f"| {title} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_method_has_a_line_of_what_was_measured(tmp_path):
    alone = {"found_after": 0.05, "found_after_synonym": 0.03, "neighbours_after": 0.98, "others_after": 0.99}
    write(tmp_path, "erase.json", alone)
    write(tmp_path, "erase/uce_styles.json", {"style_found_after": 0.31})
    write(tmp_path, "erase/uce_10.json", {"found_after": 0.06, "others_after": 0.79})
    attacks = {"embedding": {"found": 1.0}, "relearning": {"found": 1.0, "half": 25.4, "never": 1}, "inversion": None}
    (tmp_path / "attack.json").write_text(json.dumps({"summary": {"methods": {"uce": attacks}}}))
    later = {"inversion": {"found": 0.5}, "embedding": None}
    (tmp_path / "attack_more.json").write_text(json.dumps({"summary": {"methods": {"uce": later}}}))
    costs = {"figure": "erase by method", "methods": {"uce": {"cpu_s": 0.12, "resident_mb": 26.8}}}
    (tmp_path / "cost.json").write_text(json.dumps({"figures": [costs, {"figure": "learn"}]}))
    written = overview(tmp_path)
    assert line_of(written, "UCE")[1:] == (
        ["0.05", "0.03", "0.98", "0.99", "0.31", "-", "0.06, 0.79", "-", "1.00", "0.50", "25+", "0.1, 27"]
    )
    esd = line_of(written, "ESD")
    assert esd[COLUMNS.index("30 at once")] == "left out" and set(esd[1:]) == {"-", "left out"}
    assert len(written.splitlines()) == len(METHODS) + 2
