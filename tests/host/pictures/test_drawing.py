"""Pictures for people: what is tinted, where, and how large."""

import pytest
import torch

from concept_atelier.host.pictures.drawing import (
    DIMMED,
    HEAT,
    LEAST_SIDE,
    PALETTE,
    TINT,
    heat_over,
    middle,
    overlay_masks,
    plot_curve,
)


def test_a_mask_is_tinted_and_the_rest_is_dimmed():
    picture = torch.full((40, 60, 3), 0.5)
    mask = torch.zeros(1, 40, 60)
    mask[0, :, 30:] = 1
    shown = overlay_masks(picture, mask, [""])
    scale = shown.shape[0] // 40
    assert shown.shape == (40 * scale, 60 * scale, 3) and min(shown.shape[:2]) >= LEAST_SIDE
    assert torch.allclose(shown[:, : 30 * scale - 30], torch.tensor(0.5 * DIMMED), atol=1 / 255)
    tinted = (1 - TINT) * 0.5 + TINT * torch.tensor(PALETTE[0]) / 255
    assert torch.allclose(shown[0, -1], tinted, atol=1 / 255)


def contrast(one, other):
    """WCAG's contrast ratio of two colours in 0..1."""
    linear = torch.stack([one, other]).double()
    linear = torch.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    dark, light = (linear @ torch.tensor([0.2126, 0.7152, 0.0722]).double()).sort().values
    return float((light + 0.05) / (dark + 0.05))


@pytest.mark.parametrize("ground", [*PALETTE, (0, 0, 0), (255, 255, 255), (119, 119, 119), (255, 255, 0)])
def test_an_outline_stands_out_on_any_colour(ground):
    """WCAG asks for a contrast of 3 around parts of graphics: the better of the two lines has it on either side."""
    picture = (torch.tensor(ground) / 255).expand(40, 40, 3)
    mask = torch.zeros(1, 40, 40)
    mask[0, :, 20:] = 1
    row = overlay_masks(picture, mask, [""], [ground])[200]
    rim = row[row.shape[0] // 2 :][:4]  # two pixels of each line at this size
    for beside in (row[0], row[-1]):
        assert max(contrast(beside, pixel) for pixel in rim) >= 3
    assert contrast(rim[0], rim[-1]) > 15


def test_the_label_stands_in_the_middle_of_its_mask():
    mask = torch.zeros(2, 40, 40)
    mask[0, :10, :10], mask[1, 20:, 20:] = 1, 1
    plain, labelled = (overlay_masks(torch.zeros(40, 40, 3), mask, [text, ""]) for text in ("", "<1>"))
    changed = (plain != labelled).any(-1).nonzero().float().mean(0)
    assert torch.allclose(changed, torch.full((2,), 5.0 * plain.shape[0] / 40), atol=8)


@pytest.mark.parametrize("side", [40, 301])
@pytest.mark.parametrize("hole", [(0.25, 0.25, 0.8, 0.75), (0.3, 0.3, 0.7, 0.7), (0.0, 0.4, 1.0, 0.6)])
def test_the_label_of_a_background_stays_clear_of_the_thing_in_front(side, hole):
    mask = torch.ones(side, side)
    top, left, bottom, right = (round(share * side) for share in hole)
    mask[top:bottom, left:right] = 0
    x, y = middle(mask)
    room = round(0.08 * side)
    assert mask[max(0, y - room) : y + room + 1, max(0, x - room) : x + room + 1].min() == 1


def test_the_label_of_a_thin_or_tiny_mask_stands_on_it():
    for line in (
        torch.eye(200),
        torch.eye(200).flip(0),
        torch.zeros(200, 150).index_put((torch.tensor(7),), torch.ones(())),
    ):
        x, y = middle(line)
        assert line[y, x] == 1
    dot = torch.zeros(300, 500)
    dot[299, 498] = 1
    assert middle(dot) == (498, 299)
    assert middle(torch.zeros(5, 5)) is None


def test_an_empty_mask_and_no_masks_are_no_trouble():
    picture = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(0))
    none = overlay_masks(picture, torch.zeros(0, 8, 8), [])
    assert torch.equal(overlay_masks(picture, torch.zeros(1, 8, 8), ["x"]), none)


@pytest.mark.parametrize(("size", "shown"), [((1, 1), (320, 320)), ((20, 5000), (20, 5000)), ((64, 96), (320, 480))])
def test_small_pictures_are_enlarged_evenly_and_long_ones_are_not(size, shown):
    assert overlay_masks(torch.zeros(*size, 3), torch.zeros(1, *size), ["a"]).shape == (*shown, 3)
    assert heat_over(torch.zeros(*size, 3), torch.zeros(size), "a").shape == (*shown, 3)


def test_heat_runs_along_the_ramp_over_a_grey_picture():
    heat = torch.zeros(320, 320)
    heat[:, 160:] = 1
    shown = heat_over(torch.zeros(320, 320, 3), heat, "")
    assert torch.allclose(shown[300, 10], 0.65 * torch.from_numpy(HEAT[0]), atol=1 / 255)
    assert torch.allclose(shown[300, 310], 0.65 * torch.from_numpy(HEAT[-1]), atol=1 / 255)
    lit = heat_over(torch.tensor([0.9, 0.0, 0.0]).expand(320, 320, 3), heat, "")
    assert torch.allclose(lit[300, 10] - shown[300, 10], torch.tensor(0.35 * 0.3), atol=2 / 255)


def test_brightness_rises_with_heat_and_values_outside_are_clipped():
    heat = torch.linspace(-1, 2, 320)[None].expand(320, 320)
    grey = heat_over(torch.zeros(320, 320, 3), heat, "")[300].sum(-1)
    assert (grey.diff() >= -2 / 255).all() and grey[0] < grey[160] < grey[-1]
    assert torch.equal(grey[:100], grey[:1].expand(100))


def curve_rows(values):
    """Rows of the running mean's blue pixels, left to right."""
    plot = plot_curve(torch.tensor(values), "loss")
    blue = (plot - torch.tensor([30, 90, 200]) / 255).abs().amax(-1) < 0.02
    return [float(blue[:, x].nonzero().float().mean()) for x in range(plot.shape[1]) if blue[:, x].any()]


def test_a_falling_curve_falls_across_the_whole_box():
    rows = curve_rows([float(v) for v in range(100, 0, -1)])
    assert rows == sorted(rows) and rows[-1] - rows[0] > 180 and len(rows) > 380


def test_the_range_and_the_number_of_steps_are_written():
    one, other = plot_curve(torch.linspace(0, 1, 50), "a"), plot_curve(torch.linspace(0, 2, 50), "a")
    assert one.shape == (300, 480, 3) and not torch.equal(one[:, :56], other[:, :56])
    assert torch.equal(one[60:240, 60:], other[60:240, 60:])


@pytest.mark.parametrize("values", [[], [1.0], [float("nan")] * 5, [float("inf"), 1.0]])
def test_too_few_finite_values_are_reported_not_drawn(values):
    assert curve_rows(values) == []
    assert plot_curve(torch.tensor(values), "loss").min() < 0.6


def test_a_constant_curve_and_gaps_are_drawn():
    assert len(set(curve_rows([2.0] * 30))) == 1
    assert curve_rows([1.0, float("nan"), 2.0, 3.0])
