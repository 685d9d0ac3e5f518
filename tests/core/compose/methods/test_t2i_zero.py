"""Correction by Similarities, and suppression in joint layers."""

import pytest
import torch

from concept_atelier.core.backbone import AttentionCall, AttentionInputs, AttentionSite
from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.methods.t2i_zero import (
    METHOD,
    SimilaritySettings,
    SuppressionSettings,
    correct_by_similarities,
    kept_shares,
    suppress,
    suppressed_jointly,
)


def _context(length: int = 9, width: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(length, width, generator=torch.Generator().manual_seed(seed))


def test_by_hand() -> None:
    context = torch.tensor([[9.0, 9.0], [1.0, 0.0], [2.0, 1.0], [0.0, 4.0]])
    settings = SimilaritySettings(strength=0.5, window=1, threshold=0.0, keep_length=False)
    # Products with row 2: (18, 9), (2, 0), (4, 1), (0, 4). The smallest, 0, is not above the quantile. The maximum is
    # 18, at the start token, which is in no sum: 2/18 of (1, 0), (4, 1)/18 of (2, 1), (0, 4)/18 of (0, 4).
    gathered = torch.tensor([2 / 18 * 1 + 4 / 18 * 2, 1 / 18 * 1 + 4 / 18 * 4])
    expected = 0.5 * context[2] + 0.5 * gathered
    corrected = correct_by_similarities(context, [2], settings)
    torch.testing.assert_close(corrected[2], expected)
    assert torch.equal(corrected[[0, 1, 3]], context[[0, 1, 3]])


def test_strength_of_zero_changes_nothing_and_the_input_stays() -> None:
    context = _context()
    before = context.clone()
    assert torch.equal(
        correct_by_similarities(context, [2, 5], SimilaritySettings(strength=0, keep_length=False)), before
    )
    correct_by_similarities(context, [2, 5], SimilaritySettings(strength=1))
    assert torch.equal(context, before)


def test_the_order_of_concepts_does_not_matter() -> None:
    context, settings = _context(), SimilaritySettings(threshold=0.2)
    forth, back = (correct_by_similarities(context, places, settings) for places in ([2, 3, 3], [3, 2]))
    assert torch.equal(forth, back)
    assert not torch.equal(forth[2], context[2])


def test_rows_beyond_the_window_and_beyond_the_chunk_do_not_count() -> None:
    settings = SimilaritySettings(window=2, threshold=0.0)
    context = _context(12)
    changed = context.clone()
    changed[8:] *= 0.5  # smaller than before, so that no maximum grows; another chunk
    first, second = (correct_by_similarities(rows, [5], settings, chunk=6)[5] for rows in (context, changed))
    assert torch.equal(first, second)


def test_without_a_start_token_the_first_row_is_a_word_like_others() -> None:
    """As the same rows behind a start token of zeros, which shares nothing with any row."""
    settings = SimilaritySettings(strength=0.5, window=1, threshold=0.0)
    rows = torch.rand(6, 4, generator=torch.Generator().manual_seed(3))
    behind = correct_by_similarities(torch.cat([torch.zeros(1, 4), rows]), [1, 2], settings)[1:]
    torch.testing.assert_close(correct_by_similarities(rows, [0, 1], settings, start=False), behind)
    with pytest.raises(ValueError, match="between 1 and 5 and not at a start token"):
        correct_by_similarities(rows, [0, 1], settings)


def test_encoders_side_by_side_are_corrected_apart() -> None:
    left, right = _context(seed=1), 100 * _context(seed=2)
    settings = SimilaritySettings(threshold=0.5)
    both = correct_by_similarities(torch.cat([left, right], 1), [4], settings, widths=(6, 6))
    apart = torch.cat([correct_by_similarities(part, [4], settings) for part in (left, right)], 1)
    assert torch.equal(both, apart)


def test_rows_keep_their_length() -> None:
    context = _context()
    corrected = correct_by_similarities(context, [3], SimilaritySettings(strength=1, threshold=0.0))
    torch.testing.assert_close(corrected.norm(dim=1), context.norm(dim=1))


@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_in_a_joint_layer_the_words_shares_of_the_one_softmax_are_suppressed(
    generator: torch.Generator, renormalise: bool, masked: bool
) -> None:
    """Against the dense computation; three rows of padding lie before the text of five rows."""
    grid, text, settings = (3, 4), slice(3, 8), SuppressionSettings(strength=0.7, renormalise=renormalise)
    query, key, value = torch.randn(3, 2, 2, 8 + 12 + 1, 6, generator=generator)  # and a row behind the picture
    bias = torch.randn(2, 1, 1, 21, generator=generator) if masked else None
    site = AttentionSite("layer", "joint", None, 2, 1)
    call = AttentionCall(site, query, key, 0.5, grid, (True,) * 2, view="self", columns=slice(8, 20), bias=bias)
    words = [(1, 2), (4,)]
    found = suppressed_jointly(AttentionInputs(call, value, text=text), words, settings)
    attention = (query * 0.5 @ key.mT + (0 if bias is None else bias)).softmax(-1)  # (B, heads, N, N)
    changed = attention.clone()
    there = [[text.start + place for place in places] for places in words]
    changed[:, :, 8:20] = suppress(attention[:, :, 8:20], there, grid, settings)
    torch.testing.assert_close(found, changed @ value)
    assert not torch.allclose(found[:, :, 8:20], (attention @ value)[:, :, 8:20], atol=1e-3)


@pytest.mark.parametrize("places", [[0], [9], [-1], [6]])
def test_positions_that_hold_no_word_are_refused(places: list[int]) -> None:
    with pytest.raises(ValueError, match="start token"):
        correct_by_similarities(_context(), places, SimilaritySettings(), chunk=6)


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"strength": -0.1}, {"window": 0}, {"threshold": 1.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimilaritySettings(**wrong)  # type: ignore[arg-type]


def test_widths_must_add_up() -> None:
    with pytest.raises(ValueError, match="add up"):
        correct_by_similarities(_context(), [3], SimilaritySettings(), widths=(3, 2))


def test_a_token_of_several_concepts_goes_where_none_of_them_wins():
    """Two cells: the first is the first concept's, the second the third's; token 1 belongs to the first two."""
    attention = torch.tensor([[0.2, 0.3, 0.4, 0.05, 0.05], [0.2, 0.1, 0.05, 0.05, 0.6]])[None, None]
    far = torch.cat([attention[:, :, :1].expand(-1, -1, 3, -1), attention[:, :, 1:].expand(-1, -1, 3, -1)], 2)
    kept = kept_shares(far, [[1, 2], [1, 3], [4]], (1, 6), 1.0)[0, 0]
    assert kept.min() == 0 and kept.max() == 1
    assert kept[0].tolist() == [1, 1, 1, 0, 0] and kept[-1].tolist() == [1, 0, 0, 0, 1]


def halves(generator):
    """Attention (1, 2, 32, 77) of a grid of 4 x 8 cells: in the left half token 2 is the strongest of all, in the right
    half token 5; token 3 has the same share everywhere. Its logits, too."""
    logits = 0.1 * torch.randn(1, 2, 32, 77, generator=generator)
    left = torch.arange(32) % 8 < 4
    logits[..., 2] += torch.where(left, 6.0, 4.0)
    logits[..., 5] += torch.where(left, 4.0, 6.0)
    return logits, logits.softmax(-1), left


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_cell_reads_only_the_words_of_the_strongest_concept(generator, strength) -> None:
    _, attention, left = halves(generator)
    found = suppress(attention, [(1, 2), (4, 5)], (4, 8), SuppressionSettings(strength=strength))
    expected = attention.clone()
    for places, lost in (((1, 2), ~left), ((4, 5), left)):
        for place in places:
            expected[:, :, lost, place] *= 1 - strength
    torch.testing.assert_close(found, expected)
    scaled = suppress(attention, [(1, 2), (4, 5)], (4, 8), SuppressionSettings(strength=strength, renormalise=True))
    torch.testing.assert_close(scaled, expected / expected.sum(-1, keepdim=True))


def test_on_a_unet_the_words_of_a_concept_are_suppressed_where_another_is_stronger(lab_backbone, generator) -> None:
    """A layer of cross-attention whose values are unit vectors, so that it gives its attention."""
    logits, attention, left = halves(generator)
    concepts = [Concept("a cat"), Concept("a rocket")]
    composition = compose(lab_backbone, "a cat and a rocket", concepts, texts=False)
    assert [region.words for region in composition.regions] == [(1, 2), (4, 5)]
    run = METHOD.begin(composition, METHOD.preset("paper"), share_of(1000))
    query = torch.eye(32).expand(1, 2, 32, 32)
    call = AttentionCall(AttentionSite("layer", "cross", None, 2, 1), query, logits.mT, 1.0, (4, 8), (True,), 500.0)
    found = run.edit(AttentionInputs(call, torch.eye(77).expand(1, 2, 77, 77)))
    lost = torch.zeros_like(attention, dtype=torch.bool)
    lost[:, :, ~left, 1:3], lost[:, :, left, 4:6] = True, True
    torch.testing.assert_close(found, attention.masked_fill(lost, 0.0))
