import pytest

from concept_atelier.host.shared.prompt_syntax import Reference, Words
from concept_atelier.host.shared.token_table import lay_out, placeholder_sizes, read_pieces, written_words

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
def test_ids_are_the_tokenizers_own(tokenizer, text):
    own = tokenizer(text, padding="max_length", max_length=77)["input_ids"]
    assert list(lay_out([Words(text)], tokenizer, {}).ids) == own


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_written_words(tokenizer, text):
    words = {}
    for piece in read_pieces(text, tokenizer):
        words[piece.word] = words.get(piece.word, "") + piece.text
    assert list(words) == list(range(len(words)))
    assert list(words.values()) == written_words(text)


def test_placeholders_never_reach_the_tokenizer(tokenizer):
    parts = [Words("a "), Reference("<apple>", 1.5), Words("-ish"), Reference("<Apple 2>")]
    layout = lay_out(parts, tokenizer, {"<apple>": 2, "<Apple 2>": 1})
    assert layout.weights()[:5] == [1, 1, 1.5, 1.5, 1] and len(layout.weights()) == 77
    text = layout.tokenized()
    assert [(t.text, t.word, t.placeholder) for t in text.tokens[:3]] == [
        ("a", 0, None),
        ("<apple>", 1, "<apple>"),
        ("", 1, "<apple>"),
    ]
    assert text.tokens[3].text == "-" and text.tokens[3].word == 2
    assert text.tokens[-1].placeholder == "<Apple 2>"
    assert [t.position for t in text.tokens] == list(range(1, len(text.tokens) + 1))
    assert (text.start, text.end, text.length) == (0, len(text.tokens) + 1, 77)


def test_special_tokens_cannot_be_written(tokenizer):
    assert tokenizer.eos_token_id not in [p.id for p in read_pieces("<|endoftext|>", tokenizer)]


def test_a_text_fits_up_to_its_last_position(tokenizer):
    assert lay_out([Words("a " * 75)], tokenizer, {}).end == 76
    with pytest.raises(ValueError, match="76 tokens and this model reads 75: shorten it by 1"):
        lay_out([Words("a " * 76)], tokenizer, {})
    with pytest.raises(ValueError, match="shorten it by 2"):
        lay_out([Words("a " * 74), Reference("<apple>")], tokenizer, {"<apple>": 3})


def test_a_megabyte_is_refused_before_it_is_cut_into_tokens(tokenizer):
    with pytest.raises(ValueError, match="1000000 letters and this model reads 75 tokens"):
        lay_out([Words("x" * 10**6)], tokenizer, {})
    assert lay_out([Words("cat" + " " * 10**6 + "dog")], tokenizer, {}).end == 3


def test_placeholders_need_vectors_and_as_many_for_each_encoder():
    import torch

    assert placeholder_sizes({"<a>": {"clip_l": torch.zeros(2, 4), "clip_g": torch.zeros(2, 8)}}) == {"<a>": 2}
    for wrong in ({}, {"clip_l": torch.zeros(0, 4)}, {"clip_l": torch.zeros(1, 4), "clip_g": torch.zeros(2, 8)}):
        with pytest.raises(ValueError, match="same number of vectors"):
            placeholder_sizes({"<a>": wrong})
    with pytest.raises(ValueError, match="shape"):
        placeholder_sizes({"<a>": {"clip_l": torch.zeros(4)}})
