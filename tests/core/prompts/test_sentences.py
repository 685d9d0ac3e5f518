import pytest
import torch

from concept_atelier.core.prompts.schedule import Span, joining, spans_of
from concept_atelier.core.prompts.sentences import (
    REFERENCE,
    blended,
    relations,
    robust_scale,
    similarities,
    split_sentences,
)


def test_sentences_end_at_marks_and_lines():
    assert split_sentences("A cat. The dog, of 1.5 m!\n\n on  grass; (wet) ...") == [
        "A cat",
        "The dog, of 1.5 m",
        "on grass",
        "(wet)",
    ]
    assert split_sentences(" \n. ") == [] and len(REFERENCE) == 32


def test_the_scale_is_that_of_normal_numbers_and_ignores_outliers(generator):
    rows = 3 + 2 * torch.randn(4000, 3, generator=generator)
    rows[:100] = 1e6
    rows[:, 2] = 5.0
    scale = robust_scale(rows)
    torch.testing.assert_close(scale.median[:2], torch.tensor([3.0, 3.0]), atol=0.25, rtol=0)
    torch.testing.assert_close(scale.spread[:2], torch.tensor([2.0, 2.0]), atol=0.25, rtol=0)
    assert float(scale.spread[2]) == 1
    torch.testing.assert_close(scale.restored(scale.normalised(rows[200:])), rows[200:])
    with pytest.raises(ValueError, match="4 encodings"):
        robust_scale(rows[:3])


def test_similarity_is_between_deviations_and_not_between_means(generator):
    rows = 100 + torch.randn(50, 16, generator=generator)
    scale = robust_scale(rows)
    found = similarities(torch.stack([rows[0], rows[0], 200 - rows[0]]), scale)
    assert float(found[0, 1]) == pytest.approx(1) and float(found[0, 2]) < -0.8


def found_of(first, second, likeness=0.1):
    words = [first.split(), second.split()]
    (one,) = relations(words, torch.tensor([[1.0, likeness], [likeness, 1.0]]))
    return one


@pytest.mark.parametrize(
    ("first", "second", "redundant", "against"),
    [
        ("a red cat", "the blue cat", False, ("red", "blue")),
        ("the sky is very clear", "the sky is grey", False, ("clear", "grey")),
        ("no people", "many people", False, ("no people", "people")),
        ("a crowd", "without a crowd", False, ("crowd", "without crowd")),
        ("a red cat", "a cat", True, None),
        ("a red cat , a dog", "a small dog", False, None),
        ("a red cat", "the cat sleeps", False, None),
        ("a house", "a tree", False, None),
    ],
)
def test_known_pairs(first, second, redundant, against):
    found = found_of(first, second)
    assert (found.redundant, found.against) == (redundant, against)


def test_like_sentences_say_the_same_unless_they_contradict():
    assert found_of("a house", "a home", 0.95).redundant
    assert not found_of("a red house", "a blue house", 0.95).redundant


def test_a_blend_of_one_is_that_one_and_keeps_length(generator):
    rows = torch.randn(2, 5, 8, generator=generator)
    scale = robust_scale(torch.randn(40, 8, generator=generator))
    torch.testing.assert_close(blended(rows, [0, 2], scale), rows[1], atol=1e-5, rtol=1e-5)
    z = scale.normalised(blended(rows, [1, 1], scale)).norm(dim=-1)
    torch.testing.assert_close(z, scale.normalised(rows).norm(dim=-1).mean(0))
    for shares in ([1], [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="as many shares"):
            blended(rows, shares, scale)


def test_spans_cover_all_of_denoising_without_overlap():
    assert spans_of([(0, 1), (0.5, 1), (0, 0.25)]) == [
        Span(0.0, 0.25, (0, 2)),
        Span(0.25, 0.5, (0,)),
        Span(0.5, 1.0, (0, 1)),
    ]
    assert spans_of([(0, 1)]) == [Span(0.0, 1.0, (0,))]
    assert spans_of([(0, 1), (0, 1)]) == [Span(0.0, 1.0, (0, 1))]
    assert joining(2) == [(0, 1), (0.25, 1)]
    with pytest.raises(ValueError, match=r"no sentence holds from 0\.4 to 0\.6"):
        spans_of([(0, 0.4), (0.6, 1)])
    with pytest.raises(ValueError, match="sentence 2 has the range"):
        spans_of([(0, 1), (0.5, 0.5)])
