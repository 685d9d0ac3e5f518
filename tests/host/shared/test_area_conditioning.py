"""Areas as the entries of a CONDITIONING, and back."""

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.compose.parts.areas import Area
from concept_atelier.host.shared.area_conditioning import area_entries, areas_of

PROMPT = Conditioning(torch.zeros(1, 2, 3))
TEXT = Conditioning(torch.ones(1, 2, 3), {"pooled_output": torch.ones(1, 4)})
CONTEXT = torch.zeros(1, 2, 3)


def test_entries_are_those_of_the_stock_nodes():
    mask = torch.rand(4, 4)
    whole, box, masked = area_entries(
        PROMPT, [Area(TEXT, (0.1, 0.2, 0.4, 1.0), strength=0.5), Area(TEXT, mask=mask, start=0.1, end=0.5)], False
    )
    assert whole == [PROMPT.context, {}]
    assert box[0] is TEXT.context and {key: value for key, value in box[1].items() if key != "pooled_output"} == {
        "area": ("percentage", 0.8, 0.3, 0.2, 0.1),
        "strength": 0.5,
        "set_area_to_bounds": False,
    }
    assert torch.equal(masked[1]["mask"], mask[None]) and masked[1]["mask_strength"] == 1
    assert (masked[1]["start_percent"], masked[1]["end_percent"]) == (0.1, 0.5)
    assert "area" not in masked[1] and "start_percent" not in box[1]


def test_areas_of_films_have_frames():
    _, (_, extras) = area_entries(PROMPT, [Area(TEXT, (0.0, 0.5, 1.0, 1.0))], True)
    assert extras["area"] == ("percentage", 1.0, 0.5, 1.0, 0.0, 0.5, 0.0)


def test_entries_are_read_again():
    mask = torch.rand(4, 4)
    given = [Area(TEXT, (0.1, 0.2, 0.4, 1.0), strength=0.5, end=0.7), Area(TEXT, mask=mask, strength=2.0)]
    whole, box, masked = areas_of(area_entries(PROMPT, given, False))
    assert whole.box is None and whole.mask is None and (whole.strength, whole.start, whole.end) == (1, 0, 1)
    assert box.box == pytest.approx(given[0].box) and (box.strength, box.end) == (0.5, 0.7)
    assert torch.equal(masked.mask, mask) and masked.strength == 2 and masked.box is None
    assert areas_of([[CONTEXT, {}], [CONTEXT, {"start_percent": 0.5}]]) == ()


@pytest.mark.parametrize(
    ("extras", "said"),
    [
        ({"area": (8, 8, 0, 0)}, "takes shares of the picture's sides"),
        ({"mask": torch.ones(2, 4, 4)}, "one for each entry"),
        ({"mask": torch.ones(1, 4, 4), "set_area_to_bounds": True}, "also sets an area"),
        ({"area": ("percentage", 1.0, 1.0, 0.0, 0.0), "control": 3}, "carries control"),
    ],
)
def test_what_the_headless_sampler_does_not_read_is_refused(extras, said):
    with pytest.raises(ValueError, match=said):
        areas_of([[CONTEXT, {}], [CONTEXT, extras]], "positive")
