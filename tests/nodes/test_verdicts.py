"""Presets and lists as people write them."""

import pytest

from concept_atelier.core.compose.registry import METHODS
from concept_atelier.nodes.verdicts import lines_of, method_verdict, preset_verdict, settings_verdict


@pytest.mark.parametrize("preset", [[], {}, 5, 1.5, ["small"], "Small", "x" * 10**6])
def test_what_is_no_preset_is_refused_in_words(preset):
    """ComfyUI hands a list's choice on as it came."""
    verdict = preset_verdict(preset, ["small", "paper"])
    assert verdict.startswith("preset: expected one of small, paper, got ") and len(verdict) < 200


def test_lists_are_read_by_line_and_comma():
    assert lines_of(" cat, kitty\n\n teddy bear ,,\n") == ["cat", "kitty", "teddy bear"]
    assert lines_of(" \n,") == []


SMALL = {"small": METHODS["attention_couple"].preset("small")}


@pytest.mark.parametrize(
    ("preset", "text", "said"),
    [
        ("small", "", True),
        ("small", "end=0.5", True),
        ("nonsense", "end=0.5", True),  # the preset's own verdict says so
        ([], "end=0.5", True),
        (None, "nonsense", True),
        ("small", None, True),
        ("small", "end", "settings: settings must be written as name=value, got 'end'"),
        ("small", "depth=2", "settings: Compose has no setting 'depth'; it has "),
        ("small", "end=2", "settings: "),
    ],
)
def test_settings_are_checked_beside_their_preset(preset, text, said):
    verdict = settings_verdict("Compose", SMALL, preset, text)
    assert verdict is True if said is True else verdict.startswith(said)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("t2i_zero", "", True),
        (None, "nonsense", True),
        ("t2i_zero", "nonsense=1", "settings: t2i_zero has no setting 'nonsense'"),
        ("nonsense", "", "method: expected one of "),
        ([], "", "method: expected one of "),
    ],
)
def test_a_method_is_checked_with_its_settings(method, settings, said):
    """ComfyUI leaves the check of a choice to the node that takes it for a verdict."""
    verdict = method_verdict(METHODS, method, "small", settings)
    assert verdict is True if said is True else verdict.startswith(said)
