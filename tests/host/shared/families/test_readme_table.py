"""The README's table of support says what the families' records say."""

from pathlib import Path

from concept_atelier.host.shared.families import FAMILIES

README = Path(__file__).parents[4] / "README.md"
CALLED = {
    "lab": "lab model",
    "sd15": "SD1.5",
    "sd2": "SD2.x",
    "sdxl": "SDXL",
    "lab_flux": "lab transformer",
    "flux2": "FLUX.2 klein",
}
"""Families that the table calls otherwise than their records."""


def rows():
    """The family's name in the table, to its cells by the head of their column."""
    part = README.read_text(encoding="utf-8").split("| family | Capture Attention")[1].split("\n\n")[0]
    lines = [f"| family | Capture Attention{part}".splitlines()[0], *part.splitlines()[2:]]
    head, *body = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    found = {}
    for names, *cells in body:
        cells_of = dict(zip(head[1:], cells, strict=True))
        found |= {name.strip(): cells_of for name in names.partition(" (")[0].split(",")}
    return found


def test_every_family_stands_in_the_table():
    assert set(rows()) == {CALLED.get(name, one.title) for name, one in FAMILIES.items()} | {"FLUX.2 dev"}


def test_concepts_run_beside_the_text_where_the_table_says_so():
    for name, family in FAMILIES.items():
        said = rows()[CALLED.get(name, family.title)]
        able = family.transformer is not None and family.transformer.concepts
        assert (said["Show Concept Heatmap"] == "yes") is able, name
        assert said["learn, encode, save and load tokens"].startswith("yes")
        no_adapter = family.transformer is not None and not family.transformer.tunes
        assert (family.title in said["learn, encode, save and load tokens"]) is no_adapter, name
