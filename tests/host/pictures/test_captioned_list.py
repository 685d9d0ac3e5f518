"""A list of pictures with lines of text beside them."""

import torch

from concept_atelier.host.pictures.captioned_list import ListEntry, captioned_list
from concept_atelier.host.pictures.figure_table import INK


def test_a_list_is_as_wide_as_its_longest_line_needs():
    widths = []
    for line in ("outline", "outline, " * 9, "W" * 60):
        page = captioned_list([ListEntry(torch.ones(3, 32, 32), [("neon", INK), (line, INK)])] * 2)
        assert page.shape[0] == 1 and page.shape[1] == 2 * 104 + 8
        widths.append(page.shape[2])
        assert float(page[:, :, -8:].max()) < 0.2  # nothing is written into the margin
    assert widths[0] == 480 < widths[1] < widths[2] == 900
