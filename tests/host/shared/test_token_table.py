import pytest

from concept_atelier.host.shared.token_table import placeholder_sizes, read_pieces, written_words

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
