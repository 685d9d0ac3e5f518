"""A table of figures: wide enough for its texts, columns that do not meet, and marks where the figures are."""

import numpy as np

from concept_atelier.host.pictures.figure_table import GAP, GOOD, INK, LETTERS, TableLine, _columns, figure_table
from concept_atelier.host.pictures.labels import line_width

HEAD = TableLine("In other ways", heading=True, cells=("erased model", "floor", "ceiling"))
CELLS = ("100% of 128", "25%", "100%")


def line(**changes):
    given = {"name": "Embedding learnt on the original model", "value": 0.5, "said": "not measurable", "cells": CELLS}
    return TableLine(**(given | changes))


def test_it_grows_to_its_texts_and_no_column_meets_the_next():
    for lines in ([HEAD, line()], [HEAD, line(name="name"), TableLine("", said="half of the drawings show it")]):
        at = _columns(lines, 100)
        assert figure_table("Title", lines, 100).width == at.width > 100
        for one in lines:
            texts = (one.name, *one.cells, one.said)
            starts = (GAP, *at.cells[: len(one.cells)], at.bar if one.value is None else at.said)
            ends = (at.after if one.heading else at.bar, *at.cells[1 : len(one.cells)], at.said, at.width)
            for text, left, right in zip(texts, starts, ends[: len(texts) - 1] + (at.width,), strict=True):
                assert left + line_width(text, LETTERS) <= right, text


def test_a_wider_page_gives_its_room_to_the_bars():
    small, wide = _columns([HEAD, line()], 100), _columns([HEAD, line()], 1200)
    assert wide.width == 1200 and wide.bar == small.bar and wide.after - small.after == 1200 - small.width


def test_the_mark_stands_between_floor_and_ceiling():
    lines = [line(value=value, colour=GOOD, said="", cells=()) for value in (0.0, 1.0)]
    at, pixels = _columns(lines, 600), np.array(figure_table("Title", lines, 600)).astype(int)
    columns = np.nonzero((np.abs(pixels - GOOD).sum(-1) < 20).any(0))[0]
    assert abs(columns.min() + 7 - at.bar) <= 2 and abs(columns.max() - 7 - (at.after - 2 * GAP)) <= 2


def test_a_table_without_bars_and_a_long_name_are_drawn():
    long = TableLine("a" * 300, said="b" * 300)
    picture = figure_table("Title", [TableLine("Cost", heading=True), long], 200, ("what is what",))
    assert picture.height == 4 * 30 + 2 * GAP and (np.array(picture) == INK).all(-1).any()
