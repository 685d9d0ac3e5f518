"""How prompts are laid out on an encoder's positions, and where long ones are cut."""

import pytest

from concept_atelier.core.backbone import TextTooLongError
from concept_atelier.host.shared.text.chunks import MAX_CHUNKS, check_alike, lay_out
from concept_atelier.host.shared.text.prompt_syntax import Reference, Words
from concept_atelier.host.shared.text.token_table import MAX_LETTERS, pieces_of

TEXTS = ["a photo of a cat-face and a rocket, on blue!", "½ cup – “quoted”", ""]


@pytest.fixture
def tokenizer(lab_modules):
    return lab_modules.tokenizer


@pytest.fixture
def kept(tokenizer):
    """Numbers of pieces in each chunk of the parts; lengths stand for words, texts for placeholders of 7 and 9."""

    def count(*parts):
        written = [Words("a " * part) if isinstance(part, int) else Reference(part) for part in parts]
        return [len(chunk.pieces) for chunk in lay_out(written, tokenizer, {"<seven>": 7, "<nine>": 9}).chunks]

    return count


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_tokenizers_own(tokenizer, text):
    own = tokenizer(text, padding="max_length", max_length=77)["input_ids"]
    (chunk,) = lay_out([Words(text)], tokenizer, {}).chunks
    assert list(chunk.ids) == own


def test_placeholders_never_reach_the_tokenizer(tokenizer):
    parts = [Words("a "), Reference("<apple>", 1.5), Words("-ish"), Reference("<Apple 2>")]
    layout = lay_out(parts, tokenizer, {"<apple>": 2, "<Apple 2>": 1})
    (weights,) = (chunk.weights() for chunk in layout.chunks)
    assert weights[:5] == [1, 1, 1.5, 1.5, 1] and len(weights) == 77
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


def test_a_chunk_is_filled_to_its_last_position(kept):
    assert kept() == [0]
    assert kept(75) == [75]
    assert kept(76) == [75, 1]
    assert kept(200) == [75, 75, 50]


def test_only_parts_of_eight_tokens_and_more_are_cut(kept):
    assert kept(70, "<seven>") == [70, 7] and kept(70, "<nine>") == [75, 4]
    assert kept(70, 7, 1) == [70, 8] and kept(70, 8) == [75, 3]


def test_positions_run_on_and_each_chunk_has_its_own_start_and_end(tokenizer):
    layout = lay_out([Words("a " * 80), Reference("<seven>")], tokenizer, {"<seven>": 7})
    text = layout.tokenized()
    assert [token.position for token in text.tokens] == [*range(1, 76), *range(78, 90)]
    assert (text.start, text.end, text.length) == (0, 76, 154)
    assert all(token.placeholder == "<seven>" for token in text.tokens[-7:])
    for chunk in layout.chunks:
        assert len(chunk.ids) == 77 and chunk.ids[0] == tokenizer.bos_token_id
        assert chunk.ids[len(chunk.pieces) + 1] == tokenizer.eos_token_id


def test_what_would_take_too_long_is_refused(tokenizer):
    with pytest.raises(TextTooLongError, match="1000000 letters, and at most"):
        lay_out([Words("x" * 10**6)], tokenizer, {})
    with pytest.raises(TextTooLongError, match=f"more than the {MAX_CHUNKS} chunks of 75"):
        lay_out([Words(". a" * (MAX_LETTERS // 3))], tokenizer, {})
    (chunk,) = lay_out([Words("cat" + " " * 10**6 + "dog")], tokenizer, {}).chunks
    assert len(chunk.pieces) == 2


def test_words_alone_are_measured_before_they_are_cut_into_tokens():
    with pytest.raises(TextTooLongError, match="100001 letters, and at most 100000"):
        next(pieces_of([Words("x" * MAX_LETTERS), Reference("<a>"), Words(" y ")], None, {"<a>": 1}))


def test_texts_of_unequal_numbers_of_chunks_are_distinguished():
    check_alike([("a", 2), ("b", 2)])
    with pytest.raises(TextTooLongError, match="'b' takes 3 passes of the text encoder and another text 1"):
        check_alike([("a", 1), ("b", 3), ("c", 2)])
