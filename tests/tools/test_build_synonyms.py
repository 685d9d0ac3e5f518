"""Synonyms out of WordNet, on a dictionary of two nouns."""

import json

import pytest

from concept_atelier.lab.world.atlas import OBJECTS_FILE
from concept_atelier.tools.build_synonyms import WordNet, synonyms_of, with_synonyms, write_world

LICENCE = "  1 a licence\n"


@pytest.fixture
def wordnet(tmp_path):
    first = b"00000000 05 n 03 kitty 0 kitty-cat 0 puss 0 001 @ 00000000 n 0000 | a cat\n"
    second = b"%08d 05 n 02 kitten 0 kitty 0 000 | a young cat\n" % len(first)
    (tmp_path / "data.noun").write_bytes(first + second)
    index = f"kitten n 1 0 1 0 {len(first):08d}\nkitty n 2 0 2 0 {len(first):08d} 00000000\n"
    (tmp_path / "index.noun").write_text(LICENCE + index)
    return WordNet(tmp_path)


def test_senses_are_read_by_their_number(wordnet):
    assert wordnet.words("kitty#1") == ["kitten", "kitty"]
    assert wordnet.words("kitty#2") == ["kitty", "kitty-cat", "puss"]
    for wrong in ("kitty#3", "dog#1", "kitty#0"):
        with pytest.raises(KeyError, match="noun senses"):
            wordnet.words(wrong)


def test_senses_take_turns_and_no_word_is_used_twice():
    taken = {"cat"}
    assert synonyms_of([["cat", "kitty", "kitty-cat", "puss"], ["kitty", "kitten"]], taken) == ["kitty", "kitten"]
    assert taken == {"cat", "kitty", "kitten"}
    assert synonyms_of([["kitty", "Felis"]], taken) == []


def test_the_world_is_written_with_its_synonyms(wordnet, tmp_path):
    world = {"hands": {"noto": {"title": "x"}}, "objects": [{"name": "cat", "senses": ["kitty#2", "kitten#1"]}]}
    write_world(with_synonyms(world, wordnet), tmp_path / "objects.json")
    again = json.loads((tmp_path / "objects.json").read_text())
    assert again["hands"] == world["hands"]
    assert again["objects"] == [{"name": "cat", "senses": ["kitty#2", "kitten#1"], "synonyms": ["kitty", "kitten"]}]


def test_no_word_of_the_shipped_world_means_two_things():
    objects = json.loads(OBJECTS_FILE.read_text())["objects"]
    words = [word for entry in objects for word in (entry["name"], *entry["synonyms"])]
    assert len(words) == len(set(words))
    assert all(entry["senses"] or not entry["synonyms"] for entry in objects)
