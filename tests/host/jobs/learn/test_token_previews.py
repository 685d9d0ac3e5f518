"""The quick look at tokens while they are learnt."""

import numpy as np
import pytest
from PIL import Image

from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.jobs.learn.token_previews import BAND, GROUND, LEAST_TILE, MAX_TOKENS, captioned, draw_tokens


@pytest.fixture
def tokens(lab_backbone):
    return ConceptTokens({f"t{i}": lab_backbone.word_vectors(word) for i, word in enumerate("qxzjk")}, "lab")


def test_at_most_four_side_by_side_in_the_pictures_size(lab_backbone, tokens):
    assert MAX_TOKENS == 4
    assert draw_tokens(lab_backbone, tokens, "a {}", (16, 24)).size == (4 * 24, 16)
    one = ConceptTokens({"t0": tokens.vectors["t0"]}, "lab")
    assert draw_tokens(lab_backbone, one, "a {}", (1, 1)).size == (8, 8)


def test_a_picture_changes_with_its_own_token_only(lab_backbone, tokens):
    def pictures(*names):
        chosen = ConceptTokens({str(i): tokens.vectors[name] for i, name in enumerate(names)}, "lab")
        return np.split(np.asarray(draw_tokens(lab_backbone, chosen, "a {}", (16, 16)), dtype=int), 2, axis=1)

    (first, second), (same, other) = pictures("t0", "t1"), pictures("t0", "t2")
    assert abs(first - same).max() <= 1 < abs(second - other).max()


def test_the_template_is_filled_as_in_training(lab_backbone, tokens):
    one = ConceptTokens({"t0": tokens.vectors["t0"]}, "lab")
    draw_tokens(lab_backbone, one, "{x} a {} }", (8, 8))
    with pytest.raises(ValueError, match="exactly one"):
        draw_tokens(lab_backbone, one, "a photo", (8, 8))


def test_a_caption_keeps_the_pictures_and_writes_a_name_below_each_and_the_step_above():
    tiles = [Image.new("RGB", (128, 96), colour) for colour in ("red", "green")]
    row = Image.new("RGB", (256, 96))
    for index, tile in enumerate(tiles):
        row.paste(tile, (128 * index, 0))
    sheet = captioned(row, ["apple", "2"], "step 50 of 400")
    assert sheet.size == (256, 96 + 2 * BAND)
    assert sheet.crop((0, BAND, 256, 96 + BAND)).tobytes() == row.tobytes()
    written = (np.asarray(sheet) != GROUND).any(-1)
    assert written[:BAND].any() and written[-BAND:, :128].any() and written[-BAND:, 128:].any()
    other = captioned(row, ["apple", "2"], "step 51 of 400")
    assert (np.asarray(sheet) != np.asarray(other)).any(-1).nonzero()[0].max() < BAND


def test_small_pictures_are_enlarged_until_a_name_can_be_read():
    assert captioned(Image.new("RGB", (3 * 16, 16)), ["1", "2", "3"], "step 1 of 2").width >= 3 * LEAST_TILE
    captioned(Image.new("RGB", (8, 8)), ["a" * 400], "step 1 of 2")
