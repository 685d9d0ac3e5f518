"""Presets and lists as people write them."""

import pytest

from concept_atelier.nodes.verdicts import lines_of, preset_verdict


@pytest.mark.parametrize("preset", [[], {}, 5, 1.5, ["small"], "Small", "x" * 10**6])
def test_what_is_no_preset_is_refused_in_words(preset):
    """ComfyUI hands a list's choice on as it came."""
    verdict = preset_verdict(preset, ["small", "paper"])
    assert verdict.startswith("preset: expected one of small, paper, got ") and len(verdict) < 200


def test_lists_are_read_by_line_and_comma():
    assert lines_of(" cat, kitty\n\n teddy bear ,,\n") == ["cat", "kitty", "teddy bear"]
    assert lines_of(" \n,") == []
