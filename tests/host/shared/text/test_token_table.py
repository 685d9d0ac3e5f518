from types import SimpleNamespace

import pytest
import torch

from concept_atelier.host.shared.text.token_table import (
    joint_vocabulary,
    placeholder_sizes,
    read_pieces,
    whole_words,
    written_words,
)

TEXTS = [
    "a photo of a cat-face and a rocket, on blue!",
    "Don't   stop\n2024: it's 3.5_x",
    "Ünïcode \u65e5\u672c café naïve",
    "weird!!'s ... (a) [b] #c",
    "½ cup – “quoted”",
    "e\u0301clair",  # a letter and its accent apart
    "",
]


@pytest.fixture
def tokenizer(lab_modules):
    return lab_modules.tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_written_words(tokenizer, text):
    words = {}
    for piece in read_pieces(text, tokenizer):
        words[piece.word] = words.get(piece.word, "") + piece.text
    assert list(words) == list(range(len(words)))
    assert list(words.values()) == written_words(text)


def test_special_tokens_cannot_be_written(tokenizer):
    assert tokenizer.eos_token_id not in [p.id for p in read_pieces("<|endoftext|>", tokenizer)]


def test_placeholders_need_vectors_and_as_many_for_each_encoder():
    import torch

    assert placeholder_sizes({"<a>": {"clip_l": torch.zeros(2, 4), "clip_g": torch.zeros(2, 8)}}) == {"<a>": 2}
    for wrong in ({}, {"clip_l": torch.zeros(0, 4)}, {"clip_l": torch.zeros(1, 4), "clip_g": torch.zeros(2, 8)}):
        with pytest.raises(ValueError, match="same number of vectors"):
            placeholder_sizes({"<a>": wrong})
    with pytest.raises(ValueError, match="shape"):
        placeholder_sizes({"<a>": {"clip_l": torch.zeros(4)}})


def test_whole_words_are_the_entries_that_end_one_in_the_order_of_their_ids():
    entries = {
        "cat</w>": 5,
        "ca": 1,
        "dog</w>": 3,
        "at</w>": 2,
        "\u2581bird": 4,
        "3d!</w>": 6,
        "café</w>": 7,
        "Cow</w>": 8,
    }
    assert whole_words(SimpleNamespace(get_vocab=lambda: entries)) == {"dog": 3, "bird": 4, "cat": 5}


def test_a_joint_vocabulary_has_the_words_that_every_encoder_knows(generator):
    small, large = torch.randn(4, 3, generator=generator), torch.randn(4, 5, generator=generator)
    one = SimpleNamespace(get_vocab=lambda: {"cat</w>": 2, "dog</w>": 1, "fox</w>": 0})
    two = SimpleNamespace(get_vocab=lambda: {"dog</w>": 0, "cat</w>": 3})
    found = joint_vocabulary({"a": (one, small), "b": (two, large)})
    assert found.words == ("dog", "cat")
    assert torch.equal(found.vectors["a"], small[[1, 2]]) and torch.equal(found.vectors["b"], large[[0, 3]])


def test_every_word_of_the_lab_is_one_token(lab_backbone):
    found = lab_backbone.vocabulary()
    assert "cat" in found.words and len(set(found.words)) == len(found.words)
    for word in found.words[:20]:
        (row,) = lab_backbone.word_vectors(word)["clip_l"]
        assert torch.equal(found.vectors["clip_l"][found.words.index(word)], row)
