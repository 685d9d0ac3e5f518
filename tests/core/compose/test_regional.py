"""Attention in regions: known answers and properties."""

import pytest
import torch

from concept_atelier.core.attention.probabilities import attend
from concept_atelier.core.backbone import AttentionCall, AttentionInputs, AttentionSite, Conditioning
from concept_atelier.core.compose.composition import Composition, Region
from concept_atelier.core.compose.parts.places import Places
from concept_atelier.core.compose.parts.regional import (
    isolation,
    joint_bias,
    mix_texts,
    read_alone,
    read_apart,
    rows_of_texts,
    shares,
)

GRID = (4, 6)
LEFT = torch.zeros(GRID)
LEFT[:, :3] = 1


def composition(masks, words=((1,), (2,)), weights=(1.0, 1.0)):
    regions = tuple(
        Region(f"concept {n}", slice(5 * (n + 1), 5 * (n + 2)), words[n], mask, weights[n])
        for n, mask in enumerate(masks)
    )
    return Composition(Conditioning(torch.zeros(1, 15, 8)), slice(0, 5), regions)


def inputs(kind, keys, generator, grid=GRID, text=0):
    site = AttentionSite("layer", kind, None, 2, 1)
    cells = grid[0] * grid[1]
    query = torch.randn(1, 2, cells + text, 8, generator=generator)
    key, value = torch.randn(2, 1, 2, keys, 8, generator=generator)
    columns = slice(text, text + cells) if kind == "joint" else None
    call = AttentionCall(site, query, key, 0.3, grid, (True,), columns=columns)
    return AttentionInputs(call, value, text=slice(0, text) if kind == "joint" else None)


def test_each_cell_reads_the_text_of_its_region_alone(generator):
    both = composition([LEFT, 1 - LEFT])
    given = inputs("cross", 15, generator)
    mixed = mix_texts(given, both, shares(both.regions, torch.stack([LEFT, 1 - LEFT])[None], 0.0, 0.0)).heads
    call, inside = given.call, LEFT.flatten().bool()
    for columns, rows in ((slice(5, 10), inside), (slice(10, 15), ~inside)):
        own = attend(call.query, call.key[:, :, columns], given.value[:, :, columns], call.scale)
        torch.testing.assert_close(mixed[:, :, rows], own[:, :, rows])


def test_outside_all_regions_the_prompt_is_read(generator):
    both = composition([LEFT * 0.0 + torch.eye(4, 6), torch.zeros(GRID)])
    given = inputs("cross", 15, generator)
    masks = torch.stack([region.mask for region in both.regions])[None]
    mixed = mix_texts(given, both, shares(both.regions, masks, 0.0, 0.0)).heads
    call, outside = given.call, torch.eye(4, 6).flatten() == 0
    prompt = attend(call.query, call.key[:, :, :5], given.value[:, :, :5], call.scale)
    torch.testing.assert_close(mixed[:, :, outside], prompt[:, :, outside])


@pytest.mark.parametrize("of_prompt", [0.0, 0.3, 1.0])
def test_shares_of_texts_add_up_to_one_also_where_regions_overlap(of_prompt):
    both = composition([LEFT, torch.full(GRID, 0.6)], weights=(2.0, 0.5))
    masks = torch.stack([region.mask for region in both.regions])[None]
    parts = shares(both.regions, masks, 0.5, of_prompt)
    torch.testing.assert_close(parts.prompt + parts.regions.sum(1), torch.ones(1, *GRID))
    assert float(parts.prompt.min()) >= of_prompt - 1e-6


def test_a_region_counts_in_its_span_of_denoising_only():
    region = Region("x", slice(5, 10), (), LEFT, start=0.2, end=0.5)
    last = Region("x", slice(5, 10), (), LEFT, start=0.2)
    assert bool(shares([last], LEFT[None, None], 1.0, 0.0).regions.any())  # the last step is part of the span
    for share, counts in ((0.1, False), (0.2, True), (0.49, True), (0.5, False)):
        assert bool(shares([region], LEFT[None, None], share, 0.0).regions.any()) is counts


def test_cells_of_two_regions_do_not_read_each_other(generator):
    masks = torch.stack([LEFT, 1 - LEFT])[None]
    given = inputs("self", 24, generator)
    regions = composition([LEFT, 1 - LEFT]).regions
    before = read_apart(given, regions, masks, 1.0, masks)
    value = given.value.clone()
    value[:, :, (1 - LEFT).flatten().bool()] += 5
    after = read_apart(AttentionInputs(given.call, value), regions, masks, 1.0, masks)
    inside = LEFT.flatten().bool()
    torch.testing.assert_close(after[:, :, inside], before[:, :, inside])
    assert not torch.allclose(after[:, :, ~inside], before[:, :, ~inside])


def test_a_style_in_the_whole_picture_leaves_other_regions_apart():
    two = torch.stack([LEFT, 1 - LEFT])[None]
    with_style = torch.cat([two, torch.ones(1, 1, *GRID)], dim=1)
    assert torch.equal(isolation(with_style, 1.0), isolation(two, 1.0)) and isolation(two, 1.0).any()


def test_a_style_and_a_thing_share_the_cells_of_the_thing():
    both = composition([LEFT, torch.ones(GRID)])
    masks = torch.stack([region.mask for region in both.regions])[None]
    parts = shares(both.regions, masks, 0.5, 0.2)
    inside = LEFT.bool()
    torch.testing.assert_close(parts.regions[0, :, inside], torch.full((2, 12), 0.4))
    torch.testing.assert_close(parts.regions[0, 1, ~inside], torch.full((12,), 0.8))


def test_isolation_of_zero_and_of_one_region_changes_nothing():
    two, one = torch.stack([LEFT, 1 - LEFT])[None], LEFT[None, None]
    assert not isolation(two, 0.0).any() and not isolation(one, 1.0).any()


def test_texts_of_regions_do_not_read_each_other_in_a_joint_layer(generator):
    both = composition([LEFT, 1 - LEFT])
    given = inputs("joint", 15 + 24, generator, text=15)
    masks = torch.stack([LEFT, 1 - LEFT])[None]
    bias = joint_bias(given, both, shares(both.regions, masks, 0.0, 0.0), masks, 1.0)
    read = (given.call.query @ given.call.key.mT * given.call.scale + bias).softmax(-1)[0, 0]
    assert float(read[5:10, 10:15].max()) == 0 and float(read[5:10, 5:10].sum()) > 0
    cells = torch.arange(24)[LEFT.flatten().bool()] + 15
    assert float(read[cells, 10:15].max()) == 0 and float(read[cells, 5:10].sum()) > 0
    assert float(read[5:10][:, cells].sum()) > 0
    torch.testing.assert_close(read.sum(-1), torch.ones(39))


def test_rows_that_pad_the_text_belong_to_the_prompt():
    both = composition([LEFT, 1 - LEFT])
    prompt, first, second = rows_of_texts(both, 20, 3)
    assert prompt.tolist() == [*range(8), 18, 19]
    assert first.tolist() == [*range(8, 13)] and second.tolist() == [*range(13, 18)]


def test_texts_do_not_read_each_other_before_the_picture_joins_them(generator):
    """Against each text by itself."""
    both = composition([LEFT, 1 - LEFT])
    query, key, value = torch.randn(3, 1, 2, 17, 8, generator=generator)
    found = read_alone(query, key, value, 0.3, both, 2)
    for rows in ([*range(7)], [*range(7, 12)], [*range(12, 17)]):
        alone = attend(query[:, :, rows], key[:, :, rows], value[:, :, rows], 0.3)
        torch.testing.assert_close(found[:, :, rows], alone)


def test_places_are_found_where_the_words_are_read(generator):
    """Queries that point to the first concept's word on the left and to the second's on the right."""
    both = composition([None, None])
    given = inputs("cross", 15, generator)
    query = torch.zeros_like(given.call.query)
    inside = LEFT.flatten().bool()
    query[:, :, inside], query[:, :, ~inside] = 9 * given.call.key[:, :, 1:2], 9 * given.call.key[:, :, 2:3]
    places = Places(both, until=0.5, threshold=0.4)
    assert places.reads(0.0) and not places.reads(0.5) and places.on(GRID) is None
    site = given.call.site
    call = AttentionCall(site, query, given.call.key, given.call.scale, GRID, (True,))
    places.read(AttentionInputs(call, given.value))
    found = places.on(GRID)[0]
    assert torch.equal(found[0], LEFT) and torch.equal(found[1], 1 - LEFT)


def test_a_mask_that_is_given_stays_where_others_are_found(generator):
    both = composition([LEFT, None])
    places = Places(both, until=0.5, threshold=0.4)
    places.read(inputs("cross", 15, generator))
    torch.testing.assert_close(places.on(GRID)[0, 0], LEFT)


def test_places_of_an_odd_latent_are_added_up_over_grids_that_were_rounded_up(generator):
    """Of a latent of 9 x 9 cells, layers have 9, 5 and 3 along a side."""
    places = Places(composition([None, None]), until=0.5, threshold=0.4)
    for side, downscale in ((9, 1), (5, 2), (3, 4)):
        query = torch.randn(1, 2, side * side, 8, generator=generator)
        key, value = torch.randn(2, 1, 2, 15, 8, generator=generator)
        site = AttentionSite(f"layer{side}", "cross", "down", 0, downscale)
        places.read(AttentionInputs(AttentionCall(site, query, key, 0.3, (side, side), (True,)), value))
    assert places.on((9, 9)).shape == (1, 2, 9, 9)
