"""Pieces of a picture: finding them again, and laying their heat maps together."""

import pytest
import torch

from concept_atelier.core.attention.maps import AttentionMaps
from concept_atelier.core.attribute.heatmap import word_heatmaps
from concept_atelier.core.attribute.places import Piece, Place, find_place, whole, word_heatmaps_of_pieces
from concept_atelier.core.backbone import Token, TokenizedText

TEXT = TokenizedText((Token("cat", 1, 0), Token("dog", 2, 1)), start=0, end=3, length=4)


def maps(generator, grid=(4, 4), batch=2):
    cross = {grid: torch.rand(batch, 4, *grid, generator=generator)}
    return AttentionMaps(cross, {}, {grid: 1}, {}, {grid: 1}, {})


@pytest.mark.parametrize("place", [Place(0, 0, 3, 3), Place(2, 5, 4, 3), Place(4, 6, 2, 2), Place(0, 0, 6, 8)])
def test_a_piece_is_found_where_it_was_cut_out(generator, place):
    latent = torch.randn(4, 6, 8, generator=generator)
    rows = slice(place.top, place.top + place.height)
    assert find_place(latent[:, rows, place.left : place.left + place.width], latent) == place


def test_what_was_not_cut_out_is_not_found(generator):
    latent = torch.randn(4, 6, 8, generator=generator)
    changed = latent[:, 1:4, 1:4].clone()
    changed[3, 2, 2] += 1
    assert find_place(changed, latent) is None
    assert find_place(torch.zeros(4, 7, 2), latent) is None
    assert find_place(latent[:3, :2, :2], latent) is None


def test_a_piece_that_is_all_of_it_is_the_plain_heat_map(generator):
    recorded = maps(generator)
    found = word_heatmaps_of_pieces(
        [Piece(whole((4, 4)), recorded, TEXT)], (4, 4), ["cat", "dog"], (32, 48), per_cell=True
    )
    assert torch.equal(found, word_heatmaps(recorded, TEXT, ["cat", "dog"], (32, 48), per_cell=True))


def test_pieces_lie_where_they_belong_and_overlaps_are_averaged(generator):
    left, right = maps(generator), maps(generator)
    pieces = [Piece(Place(0, 0, 4, 4), left, TEXT), Piece(Place(0, 2, 4, 4), right, TEXT)]
    found = word_heatmaps_of_pieces(pieces, (6, 8), ["dog"], (6, 8))
    one, other = (word_heatmaps(part, TEXT, ["dog"]) for part in (left, right))
    assert torch.equal(found[..., :4, :2], one[..., :2]) and torch.equal(found[..., :4, 4:6], other[..., 2:])
    torch.testing.assert_close(found[..., :4, 2:4], (one[..., 2:] + other[..., :2]) / 2)
    assert not found[..., 4:, :].any() and not found[..., 6:].any()


def test_places_scale_to_whole_pixels_and_never_vanish():
    assert Place(1, 2, 3, 4).scaled((6, 8), (48, 64)) == (slice(8, 32), slice(16, 48))
    rows, columns = Place(5, 7, 1, 1).scaled((6, 8), (2, 2))
    assert (rows, columns) == (slice(1, 2), slice(1, 2))


def test_no_piece_at_all_is_refused():
    with pytest.raises(ValueError, match="for any piece"):
        word_heatmaps_of_pieces([], (4, 4), ["cat"], (8, 8))


def test_a_word_lies_in_the_pieces_whose_text_has_it(generator):
    """The left piece says cat and dog, the right one dog and bird, elsewhere."""
    other = TokenizedText((Token("bird", 1, 0), Token("dog", 3, 1)), start=0, end=3, length=4)
    left, right = maps(generator), maps(generator)
    pieces = [Piece(Place(0, 0, 4, 4), left, TEXT), Piece(Place(0, 4, 4, 4), right, other)]
    cat, dog, bird = word_heatmaps_of_pieces(pieces, (4, 8), ["cat", "dog", "bird"], (4, 8))
    assert torch.equal(cat[..., :4], word_heatmaps(left, TEXT, ["cat"])[0]) and not cat[..., 4:].any()
    assert torch.equal(bird[..., 4:], word_heatmaps(right, other, ["bird"])[0]) and not bird[..., :4].any()
    expected = [word_heatmaps(recorded, text, ["dog"])[0] for recorded, text in ((left, TEXT), (right, other))]
    assert torch.equal(dog, torch.cat(expected, dim=-1))
    with pytest.raises(ValueError, match="'cow' is not in the text; its words are: cat, dog, bird"):
        word_heatmaps_of_pieces(pieces, (4, 8), ["cat", "cow"], (4, 8))


def test_a_column_that_two_words_share_counts_once(generator):
    recorded = maps(generator)
    shared = TokenizedText((Token("cat", 1, 0), Token("cow", 1, 1)), start=0, end=3, length=4)
    whole_of = lambda text, **how: word_heatmaps(recorded, text, ["cat"], **how)  # noqa: E731
    assert torch.equal(whole_of(shared), whole_of(TEXT))
    torch.testing.assert_close(whole_of(shared, per_cell=True), torch.ones(1, 2, 4, 4))
