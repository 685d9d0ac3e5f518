"""Papers' rankings stand beside what the benches found, and nothing is said without a file."""

import json
from pathlib import Path

import pytest

from concept_atelier.bench.all.queue import queue
from concept_atelier.tools.pages.paper_rankings import CLAIMS, rankings
from concept_atelier.tools.pages.results import COMPOSE, with_results


def write(folder, name, figure, mean):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    values = {figure: {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}}
    path.write_text(json.dumps({"cases": 12, "seed": 0, "summary": values}))


def lines(folder):
    return rankings(folder).splitlines()[2:]


def test_without_files_nothing_is_measured_and_the_commands_stand_there(tmp_path):
    found = lines(tmp_path)
    assert len(found) == len(CLAIMS) and all(line.count("not measured yet") == 2 for line in found)
    for line, claim in zip(found, CLAIMS, strict=True):
        assert all(f"`bench {queue()[name]}`" in line for name in claim.files)


@pytest.mark.parametrize(
    ("worse", "better", "said"),
    [(0.3, 0.6, "the paper's"), (0.6, 0.3, "the other way round"), (0.5, 0.52, "too close to rank")],
)
def test_intervals_say_whose_order_it_is(tmp_path, worse, better, said):
    for line, claim in enumerate(CLAIMS):
        means = (1 - worse, 1 - better) if claim.less else (worse, better)
        for name, mean in zip(claim.files, means, strict=True):
            write(tmp_path, name, claim.figure[0], mean)
        assert lines(tmp_path)[line].split("|")[-2].strip() == said


def test_the_page_is_written_between_its_marks_and_the_rest_stays(tmp_path):
    page = (Path(__file__).parents[3] / "docs/compose.md").read_text(encoding="utf-8")
    written = with_results(page, tmp_path, COMPOSE)
    assert written.count("not measured yet") >= 2 * len(CLAIMS)
    assert written.startswith("# Composing concepts") and written.endswith(page[-200:])
    with pytest.raises(ValueError, match="needs the marks"):
        with_results("# Composing", tmp_path, COMPOSE)
