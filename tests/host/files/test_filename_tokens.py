"""``%year%`` and its like in filename prefixes."""

from datetime import datetime

import pytest

from concept_atelier.host.files.filename_tokens import fill_page_tokens, fill_prefix, page_text

NOW = datetime(2026, 3, 9, 7, 5, 4)


@pytest.mark.parametrize(
    ("prefix", "filled"),
    [
        ("ComfyUI", "ComfyUI"),
        ("%year%-%month%-%day%/%width%x%height%", "2026-03-09/128x64"),
        ("%hour%%minute%%second%_%batch_num%", "070504_%batch_num%"),
        ("%Year% 100% %width", "%Year% 100% %width"),
    ],
)
def test_what_the_server_fills_in(prefix, filled):
    assert fill_prefix(prefix, (64, 128), NOW) == filled


def test_what_has_no_size_keeps_its_tokens():
    assert fill_prefix("%year%_%width%", None, NOW) == "2026_%width%"


def no_value(node, widget):
    raise LookupError(f"{node} {widget}")


@pytest.mark.parametrize(
    ("prefix", "filled"),
    [
        ("%date:yyyy-MM-dd%/x", "2026-03-09/x"),
        ("%date:yy.M%", "%date:yy.M%"),
        ("%date:d-M-yy_hh-m-s%", "9-3-26_07-5-4"),
        ("%date:yyy%", "yyy"),
        ("%date:hhmmss%", "070504"),
        ("100%_and_50%", "100%_and_50%"),
        ("%width%x%batch_num%", "%width%x%batch_num%"),
        ("50%.%", "50%.%"),
    ],
)
def test_dates_of_the_page(prefix, filled):
    if prefix == "%date:yy.M%":  # the page takes a dot for a node's widget, and finds no such node
        with pytest.raises(
            LookupError, match="'%date:yy.M%': ComfyUI's page takes what stands before a dot for a node"
        ):
            fill_page_tokens(prefix, no_value, NOW)
    else:
        assert fill_page_tokens(prefix, no_value, NOW) == filled


def test_values_of_widgets_become_parts_of_names():
    values = {("KSampler", "seed"): "7", ("Prompt", "text"): 'a <cat>: "sat"/?'}
    filled = fill_page_tokens("%KSampler.seed%_%Prompt.text%", lambda *asked: values[asked], NOW)
    assert filled == "7_a _cat__ _sat___"


@pytest.mark.parametrize(
    ("value", "text"), [(4.0, "4"), (0.5, "0.5"), (7, "7"), (True, "true"), (None, ""), ("x", "x"), (-0.25, "-0.25")]
)
def test_values_are_written_as_the_page_writes_them(value, text):
    assert page_text(value) == text
