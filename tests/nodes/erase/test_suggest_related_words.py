"""Suggest Related Words: a list for Erase Concepts."""

import json

import pytest

from concept_atelier.nodes import SuggestRelatedWords


def test_known_synonyms_come_first_and_the_list_is_read_by_erase_concepts(call, sockets, erase):
    found = call(SuggestRelatedWords, clip=sockets["clip"], words="cat, dog", count=3)
    words = found[0].splitlines()
    assert words[:2] == ["cat", "dog"] and {"kitty", "kitten", "puppy", "hound"} <= set(words)
    (text,) = found.ui.as_dict()["text"]
    assert text.splitlines()[0].startswith("cat: kit") and "a known synonym" in text
    assert json.loads(erase(concepts=found[0])[1].metadata["concepts"]) == words


def test_the_list_may_be_pruned_and_without_ones_own_words(call, sockets):
    given = {"clip": sockets["clip"], "words": "cat", "count": 4, "with_words": False}
    words = call(SuggestRelatedWords, **given)[0].splitlines()
    assert len(words) == 4 and "cat" not in words
    pruned = call(SuggestRelatedWords, **given, leave_out="kitty\n" + words[3])[0].splitlines()
    assert not {"kitty", words[3]} & set(pruned) and len(pruned) == 4
    none = call(SuggestRelatedWords, **given, least_likeness=1.0)
    assert none[0] == "" and none.ui.as_dict()["text"] == ("cat: no word is as near as that",)


def test_learnt_tokens_may_be_asked_for_and_nothing_may_not(call, sockets, tokens):
    assert call(SuggestRelatedWords, clip=sockets["clip"], words="<red>", tokens=tokens)[0].startswith("<red>\n")
    with pytest.raises(ValueError, match="words is empty"):
        call(SuggestRelatedWords, clip=sockets["clip"], words=" ,")
    with pytest.raises(ValueError, match="names <red>"):
        call(SuggestRelatedWords, clip=sockets["clip"], words="<red>")
