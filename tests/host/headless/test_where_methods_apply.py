"""The table of docs/erasure.md that says which method works on which model, tried on the lab's two models."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from concept_atelier.core.erase.guards.registry import METHODS as GUARDS
from concept_atelier.core.erase.registry import METHODS
from concept_atelier.host.adapters import backbone_of

PAGE = Path(__file__).parents[3] / "docs/erasure.md"
QUICK = {"steps": 1, "warm_up": 1, "batch": 1, "side": 64, "sampling_steps": 2, "visits": 1, "drawn": 1, "searched": 2}
UNET, TRANSFORMER = "SD1.x, SD2.x, SDXL, lab UNet", "lab transformer"


def rows():
    """Title of a method to its cells by column."""
    part = PAGE.read_text(encoding="utf-8").split("<!-- where each applies -->")[1].split("<!-- end of")[0]
    head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in part.strip().splitlines())
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


@pytest.fixture(params=[UNET, TRANSFORMER])
def column(request):
    return request.param


@pytest.fixture
def backbone(column, lab_model, lab_clip, lab_vae, lab_transformer):
    return backbone_of(*((lab_model, lab_clip, lab_vae) if column == UNET else lab_transformer))


def test_every_method_has_its_row():
    assert list(rows()) == [one.title for one in (*METHODS.values(), *GUARDS.values())]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_erasing_works_where_the_table_says_so_and_is_refused_elsewhere(name, column, backbone):
    method, row = METHODS[name], rows()[METHODS[name].title]
    preset = method.preset("small")
    known = {entry.name for entry in fields(preset)}
    given = (backbone, ["cat"], "dog", ["crab"], replace(preset, **{k: v for k, v in QUICK.items() if k in known}))
    if row[column] == "no":
        with pytest.raises(ValueError, match="choose another method"):
            method.erase(*given)
        return
    made = method.erase(*given)
    assert {"MODEL": made.factors, "CLIP": made.text}[row["changes"]]


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_works_where_the_table_says_so_and_is_refused_elsewhere(name, column, backbone):
    if rows()[GUARDS[name].title][column] == "no":
        with pytest.raises(ValueError, match="another method"):
            GUARDS[name].check(backbone)
    else:
        GUARDS[name].check(backbone)
