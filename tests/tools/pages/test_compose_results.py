"""Tables about composing: the same cases are compared, and files from before a figure leave its cells empty."""

import json
from pathlib import Path

import pytest

from concept_atelier.bench.all.queue import FOLDER, queue
from concept_atelier.bench.compose.compose import figures
from concept_atelier.bench.harness import Request
from concept_atelier.tools.pages.compose_results import PARTS, same_cases
from concept_atelier.tools.pages.paper_rankings import rankings
from concept_atelier.tools.pages.results import with_results
from concept_atelier.tools.pages.transformer_results import compositions

ROOT = Path(__file__).parents[3]


def row(exact, **more):
    entry = {"found": True, "colour": True, "placed": exact, "inside": [1.0, 0.0], "leak": 0.0 if exact else 1.0}
    return {"exact": exact, "asked": ["cat", "dog"], "one": 1.0, "lost": 0.0, "objects": [entry | more] * 2}


def write(folder, name, exact, **more):
    """A file of pairs, whose exact sets are those of the string: ``+`` or ``-`` for each case."""
    rows = [row(one == "+", **more) for one in exact]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "cases": len(rows),
        "seed": 0,
        "split": "test",
        "rows": rows,
        "summary": figures(rows, Request(len(rows))),
    }
    path.write_text(json.dumps(result))
    return result


def cells(table, said):
    """The cells of every row that begins so."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [one for one in rows if one[0] == said]


def test_the_prompt_alone_is_taken_over_the_cases_that_another_way_has(tmp_path):
    plain, few = write(tmp_path, "compose.json", "++---+"), write(tmp_path, "few.json", "+-")
    same = same_cases(plain, few)
    assert same["cases"] == 2 and same["summary"]["exact"]["mean"] == 1.0
    assert same_cases(plain, plain) is None and same_cases(None, few) is None and same_cases(few, plain) is None


def test_below_ways_with_fewer_cases_the_prompt_alone_is_said_over_these(tmp_path):
    """The prompt alone draws the first two pairs and none after: the shorter row does not win."""
    write(tmp_path, "compose/plain_alike.json", "++------")
    write(tmp_path, "compose/area_alike.json", "+-------")
    write(tmp_path, "compose/attend_and_excite_alike.json", "+-")
    table = PARTS["composing two of a kind"](tmp_path)
    assert cells(table, "the prompt alone")[0][2].startswith("0.250 ")
    (same,) = cells(table, "the prompt alone, the same 2 cases")
    assert same[1:3] == ["2", "1.000 [1.00 1.00]"]
    lines = [line.split(" | ")[0].strip("| ") for line in table.splitlines()]
    assert lines.index("the prompt alone, the same 2 cases") == lines.index("Attend-and-Excite") + 1


def test_ways_of_as_many_cases_share_one_such_row(tmp_path):
    write(tmp_path, "compose.json", "++------")
    for name in ("attention_couple", "lora_composer"):
        write(tmp_path, f"compose/{name}_found.json", "+---")
    write(tmp_path, "compose/concept_conductor_found.json", "+-")
    table = PARTS["composing, places found by words"](tmp_path)
    assert (
        len(cells(table, "the prompt alone, the same 4 cases"))
        == 1
        == len(cells(table, "the prompt alone, the same 2 cases"))
    )
    assert "not measured: `bench " + queue()["compose/localized_refinement_found.json"] in table


def test_squares_stand_below_boxes_that_fill_the_picture_over_the_same_cases(tmp_path):
    write(tmp_path, "compose/area.json", "++------")
    write(tmp_path, "compose/area_squares.json", "+-")
    table = PARTS["composing in squares"](tmp_path)
    tiles, squares = cells(table, "stock area conditioning, in boxes")
    assert tiles[1:4] == ["tiles", "2", "1.000 [1.00 1.00]"] and squares[1:3] == ["squares", "2"]
    assert "not measured: `bench " + queue()["compose/world_squares.json"] in table


def test_so_it_is_over_seeds_and_on_the_transformer(tmp_path):
    for name in ("compose.json", "compose/plain_seed1.json", "compose/plain_seed2.json"):
        write(tmp_path, name, "++--")
    for name in ("area", "area_seed1", "area_seed2"):
        write(tmp_path, f"compose/{name}.json", "+-" if "seed" in name else "+---")
    (same,) = cells(PARTS["composing, seeds"](tmp_path), "the prompt alone, the same cases")
    assert same[:3] == ["the prompt alone, the same cases", "3", "0.83 [0.50 1.00]"]
    write(tmp_path, "transformer/compose.json", "+---")
    write(tmp_path, "transformer/compose/area.json", "+-")
    lines = compositions(tmp_path).splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("| transformer | stock area"))
    assert lines[at + 1].startswith("| transformer | the prompt alone, the same 2 cases | 2 | 0.500 ")


def test_files_of_before_a_figure_leave_its_cells_empty_and_new_ones_fill_them(tmp_path):
    write(tmp_path, "compose.json", "+-")
    write(tmp_path, "compose/area.json", "+-", iou=0.5)
    table = PARTS["composing"](tmp_path)
    column = next(line for line in table.splitlines() if "region IoU" in line).strip("| ").split(" | ")
    at = next(index for index, head in enumerate(column) if head.startswith("region IoU"))
    rows = {line.strip("|").split("|")[0].strip(): line.strip("|").split("|") for line in table.splitlines()}
    assert rows["the prompt alone"][at].strip() == ""
    assert rows["stock area conditioning, in boxes"][at].strip() == "0.500 [0.50 0.50]"


def test_papers_are_ranked_over_the_cases_that_both_ways_have(tmp_path):
    write(tmp_path, "compose/attention_couple_alike.json", "++------")
    write(tmp_path, "compose/concept_conductor_alike.json", "++")
    (line,) = [line for line in rankings(tmp_path).splitlines() if line.startswith("| Concept Conductor")]
    assert line.count("1.000 [1.00 1.00]") == 2 and line.endswith("| too close to rank |")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_its_place_on_the_page_and_is_made_of_the_files_there_are(part):
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert with_results(page, FOLDER, {part: PARTS[part]}).count(f"<!-- {part} -->") == 1
