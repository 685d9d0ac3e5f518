"""docs/models.md says in which families each method of composing works."""

from pathlib import Path

from concept_atelier.core.compose.registry import METHODS
from concept_atelier.host.shared.families import FAMILIES

PAGE = Path(__file__).parents[3] / "docs/models.md"
GROUPS = (
    ("attention_couple", "lora_composer"),
    ("t2i_zero",),
    ("attend_and_excite", "localized_refinement"),
    ("concept_conductor",),
    ("area", "plain"),
)
"""The methods of each column."""


def rows():
    lines = PAGE.read_text(encoding="utf-8").split("**Compose Concepts** by method")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("  |")]
    return {family: row[1:] for row in cells[2:] for family in row[0].split(", ")}


def test_every_family_and_method_stands_in_the_table():
    assert set(rows()) == {family.title for family in FAMILIES.values()}
    assert {name for group in GROUPS for name in group} == set(METHODS)


def test_the_table_says_what_is_refused():
    for family in FAMILIES.values():
        said = rows()[family.title]
        for cell, group in zip(said, GROUPS, strict=True):
            for method in (METHODS[name] for name in group):
                joint = family.transformer is not None
                divides = method.areas is None and {"texts", "branches"} & set(method.needs)
                refused = joint and divides and not family.transformer.regions
                assert (cell == "no") is bool(refused), (family.title, method.title)
