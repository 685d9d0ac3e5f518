"""Which words of a prompt say a concept, and the prompt of a concept's own pass."""

import pytest

from concept_atelier.core.attention.words import in_every_reading, words_of
from concept_atelier.core.backbone import Token, TokenizedText
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.wording import branch_text, contains, named_in

APART = "a cat in red and a cat in blue"
BIG = "a big red cat and a big blue cat"


def numbers(backbone, prompt, texts):
    """Of each text the numbers of the prompt's words that say it, and of its subject."""
    read = backbone.tokenize(prompt)
    of_place = {place: number for number, (_, places) in enumerate(words_of(read), 1) for place in places}

    def numbered(places):
        return sorted({of_place[place] for place in places})

    return [(numbered(one.words), numbered(one.subject)) for one in named_in(backbone, read, texts)]


@pytest.mark.parametrize(
    ("prompt", "texts", "expected"),
    [
        (APART, ["a red cat", "a blue cat"], [([2, 4], [2]), ([7, 9], [7])]),
        (APART, ["a blue cat", "a red cat"], [([7, 9], [7]), ([2, 4], [2])]),
        (BIG, ["a red cat", "a blue cat"], [([3, 4], [4]), ([8, 9], [9])]),
        (BIG, ["a big cat", "a big cat"], [([2, 4], [4]), ([7, 9], [9])]),
        ("a red cat and a cat", ["cat", "red cat"], [([6], [6]), ([2, 3], [3])]),
        ("a cat and a cat", ["a cat"] * 3, [([1, 2], [2]), ([4, 5], [5]), ([4, 5], [5])]),
        ("a red cat and dog", ["a red cat", "a red dog"], [([1, 2, 3], [3]), ([2, 5], [5])]),
        ("a cat and a blue cat in red", ["a red cat", "a blue cat"], [([2, 8], [2]), ([4, 5, 6], [6])]),
        ("a cat", ["a whale"], [([], [])]),
    ],
)
def test_each_concept_has_the_occurrence_that_belongs_to_its_other_words(lab_backbone, prompt, texts, expected):
    assert numbers(lab_backbone, prompt, texts) == expected


def test_words_that_were_looked_up_one_by_one_are_told(lab_backbone):
    red, whole = named_in(lab_backbone, lab_backbone.tokenize(BIG), ["a red cat", "big blue cat"])
    assert red.singly == (("red", 3), ("cat", 4)) and whole.singly == ()
    regions = compose(lab_backbone, BIG, [Concept("a red cat"), Concept("a blue cat")], texts=False).regions
    assert [region.singly for region in regions] == [(("red", 3), ("cat", 4)), (("blue", 8), ("cat", 9))]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat and a rocket in watercolour", "a cat and a cat in watercolour"),
        ("a street in watercolour", "a cat, in watercolour"),
    ],
)
def test_a_style_stays_in_the_text_of_a_branch(prompt, expected):
    assert branch_text(prompt, ("a cat", "a rocket"), "a cat", ("in watercolour",)) == expected


def test_a_prompt_contains_whole_words_only():
    assert contains("A red Cat, there", "a red cat") and not contains("a red caterpillar", "a red cat")


@pytest.mark.parametrize("prompt", ["a red\ncat and a dog", "a red  cat and a dog"])
def test_white_space_between_words_does_not_keep_a_concept_from_being_replaced(lab_backbone, prompt):
    assert branch_text(prompt, ["a red cat", "a dog"], "a dog") == "a dog and a dog"
    regions = compose(lab_backbone, prompt, [Concept("a red cat"), Concept("a dog")]).regions
    assert all(region.written for region in regions)


def test_a_concept_that_the_prompt_says_otherwise_is_known_to_be_left_in_place(lab_backbone):
    concepts = [Concept("a red cat"), Concept("a dog")]
    assert [one.written for one in compose(lab_backbone, "a cat in red and a dog", concepts).regions] == [False, True]


def test_words_have_positions_in_the_rows_of_every_text_encoder():
    """Of a second reading behind the first one, whose words are the same."""
    words = list(enumerate(APART.split()))
    tokens = [
        Token(word, 10 * reading + number, number, reading=reading) for reading in (0, 1) for number, word in words
    ]
    read = TokenizedText(tuple(tokens), None, 9, 20)
    assert in_every_reading(read, (1, 6)) == (1, 6, 11, 16) and in_every_reading(read, ()) == ()
