"""Checks on prompts."""

import pytest
import torch

from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.jobs.prompts import check_marks, words_to_show

TOKENS = ConceptTokens({"apple": {"clip_l": torch.zeros(2, 192)}, "cat": {"clip_l": torch.zeros(1, 192)}}, "lab")


KNOWN = ["", "a cat", "a <apple> and <cat>", "<1>, <2>", "1 < 2 and 3 > 2", "<>", "<a b>"]
NO_MARKS = ["a <3 b", "<apples", "1 <2b", "<-", "a <"]


@pytest.mark.parametrize("text", [*KNOWN, *NO_MARKS])
def test_texts_that_name_no_unknown_token_are_fine(text):
    check_marks(text, TOKENS)


def test_texts_without_marks_need_no_tokens():
    check_marks("a cat < a dog", None)


@pytest.mark.parametrize("text", ["<3>", "<pear>", "<Apple>", "a <0> <cat>"])
def test_an_unknown_mark_is_named_with_those_there_are(text):
    with pytest.raises(ValueError, match=r"but the tokens are: <1>, <2>, <apple>, <cat>"):
        check_marks(text, TOKENS)


def test_every_unknown_mark_is_named_once():
    with pytest.raises(ValueError, match=r"names <7>, <x>, but"):
        check_marks("<7> <x> <7> <cat>", TOKENS)
    with pytest.raises(ValueError, match=r"names <7>, but the tokens are: none connected"):
        check_marks("<7>", None)


def test_words_to_show_are_words_and_marks_once_each(lab_backbone):
    read = lab_backbone.tokenize("A cat, an <apple> & a cat; 2 <cat>!", TOKENS.placeholders())
    assert words_to_show(read) == ["a", "cat", "an", "<apple>", "2", "<cat>"]


@pytest.mark.parametrize("text", ["", " ", "?!, ..."])
def test_a_text_without_words(lab_backbone, text):
    with pytest.raises(ValueError, match="no words to show"):
        words_to_show(lab_backbone.tokenize(text))


@pytest.mark.parametrize("text", ["<apple", "a <apple and <cat>", "<apple, <cat", "(<apple)", "<apple<cat>"])
def test_a_mark_of_a_token_that_is_not_closed_is_named(text):
    with pytest.raises(ValueError, match=r"the prompt has <apple(, <cat)? without its '>'; write <apple>"):
        check_marks(text, TOKENS)
