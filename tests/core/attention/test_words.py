from dataclasses import replace

import pytest

from concept_atelier.core.attention.words import (
    count_words,
    find_word,
    first_places,
    places_in_order,
    spelling,
    words_of,
)
from concept_atelier.core.backbone import Token, TokenizedText


def text_of(*words):
    """A text of words given as tuples of sub-tokens; ``<x>`` words are placeholders."""
    tokens = []
    for number, pieces in enumerate(words):
        for piece in pieces:
            placeholder = pieces[0] if pieces[0].startswith("<") else None
            tokens.append(Token(piece, len(tokens) + 1, number, placeholder))
    return TokenizedText(tuple(tokens), 0, len(tokens) + 1, 77)


TEXT = text_of(
    ("a",), ("gir", "affe"), ("and",), ("a",), ("cat",), ("-",), ("f", "ace"), ("<apple>", ""), ("gir", "affe")
)


def test_words_join_their_sub_tokens():
    assert [word for word, _ in words_of(TEXT)] == [
        "a",
        "giraffe",
        "and",
        "a",
        "cat",
        "-",
        "face",
        "<apple>",
        "giraffe",
    ]


@pytest.mark.parametrize(
    ("word", "places"),
    [
        ("giraffe", ((2, 3), (12, 13))),  # all sub-tokens, repeated words
        ("A", ((1,), (5,))),
        ("face", ((8, 9),)),
        ("cat-face", ((6, 7, 8, 9),)),
        ("Cat - Face", ((6, 7, 8, 9),)),
        ("giraffe and a", ((2, 3, 4, 5),)),
        ("<apple>", ((10, 11),)),
    ],
)
def test_words_are_found_with_all_their_tokens(word, places):
    assert find_word(TEXT, word) == places


@pytest.mark.parametrize("word", ["gir", "affe", "ca", "dog", "apple"])
def test_an_absent_word_lists_those_that_are_there(word):
    with pytest.raises(ValueError, match="its words are: a, giraffe, and, cat, -, face, <apple>"):
        find_word(TEXT, word)


def test_empty_words_and_texts_are_refused():
    with pytest.raises(ValueError, match="empty word"):
        find_word(TEXT, "  ")
    with pytest.raises(ValueError, match="it is empty"):
        find_word(text_of(), "cat")


def test_of_several_encoders_one_spells_the_text_and_each_gives_a_words_first_place():
    one = TokenizedText((Token("red", 1, 0), Token("cat", 2, 1), Token("red", 3, 2)), 0, 4, 12)
    other = (Token("re", 5, 3, reading=1), Token("d", 6, 3, reading=1), Token("<unk>", 7, 4, reading=1))
    both = replace(one, tokens=(*one.tokens, *other))
    assert spelling(both) == spelling(one) == "redcatred"
    assert first_places(both, "red") == (1, 5, 6) and first_places(both, "cat") == (2,)
    assert count_words(both) == count_words(one) == 3
    with pytest.raises(ValueError, match="'dog' is not in the text"):
        first_places(both, "dog")


def test_words_are_looked_up_one_behind_another():
    said = text_of(("a",), ("photo",), ("of",), ("hot",), ("dog",), ("and",), ("dog",), ("and",), ("photo",))
    assert places_in_order(said, ["hot dog", "dog", "photo"], before=3) == ((4, 5), (7,), (9,))
    assert places_in_order(said, ["photo", "dog"]) == ((2,), (5,))
    assert places_in_order(said, ["dog", "hot"], before=3) == ((5,), (4,))  # what is not in order has its first place
    with pytest.raises(ValueError, match="'cat' is not in the text"):
        places_in_order(said, ["dog", "cat"])
