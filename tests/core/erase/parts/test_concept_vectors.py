from dataclasses import replace

import pytest
import torch

from concept_atelier.core.erase.parts.concept_vectors import (
    BATCH,
    concept_rows,
    paired,
    rows_of_each,
    vectors,
)
from concept_atelier.core.erase.parts.subject_places import fill, subject_positions


def close(got, expected):
    """The tolerance of encodings that stop at the last position that is read: values reach 4."""
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def context(backbone, text):
    with torch.no_grad():
        return backbone.encode_text([text]).context[0].double()


def test_last_subject_is_the_state_of_the_last_token(lab_backbone):
    text = "a red cat"
    position = lab_backbone.tokenize(text).tokens[-1].position
    close(vectors(lab_backbone, text, "last_subject"), context(lab_backbone, text)[[position]])


def test_from_subject_to_end_takes_subject_end_and_padding(lab_backbone):
    rows = vectors(lab_backbone, "cat", "from_subject_to_end", ("a photo of a {} on blue",))
    whole = context(lab_backbone, "a photo of a cat on blue")
    first = subject_positions(lab_backbone.tokenize, "cat", "a photo of a {} on blue")[0].start
    torch.testing.assert_close(rows, whole[first:])


def test_all_takes_every_position(lab_backbone):
    torch.testing.assert_close(vectors(lab_backbone, "cat", "all"), context(lab_backbone, "cat"))


@pytest.mark.parametrize("template", ["a photo", "{} {}"])
def test_templates_need_one_place(lab_backbone, template):
    with pytest.raises(ValueError, match="exactly one"):
        vectors(lab_backbone, "cat", "all", (template,))


def test_the_empty_text_takes_no_template_and_its_start_token_stands_in(lab_backbone):
    empty = context(lab_backbone, "")
    for template in ("{}", "a photo of a {}"):
        close(vectors(lab_backbone, "", "last_subject", (template,)), empty[:1])
        torch.testing.assert_close(vectors(lab_backbone, "", "from_subject_to_end", (template,)), empty)


def test_averaging_and_keeping_templates_apart(lab_backbone):
    templates = ("{}", "a photo of a {}")
    one, two = (vectors(lab_backbone, "cat", "last_subject", (template,)) for template in templates)
    apart = vectors(lab_backbone, "cat", "last_subject", templates, "separate")
    close(apart, torch.cat([one, two]))
    together = vectors(lab_backbone, "cat", "last_subject", templates)
    close(together, (one + two) / 2)
    assert not torch.allclose(one, two)
    lengths = [len(vectors(lab_backbone, "cat", "from_subject_to_end", (template,))) for template in templates]
    assert len(vectors(lab_backbone, "cat", "from_subject_to_end", templates)) == min(lengths)


@pytest.mark.parametrize("mode", ["last_subject", "from_subject_to_end", "all"])
@pytest.mark.parametrize("anchor", ["dog", "", "a very long anchor of xylophones"])
def test_pairs_have_equal_length(lab_backbone, mode, anchor):
    ours, theirs = paired(
        *rows_of_each(lab_backbone, ("quartz xylophone", anchor), mode, ("{}", "a photo of {}")), "average"
    )
    assert ours.shape == theirs.shape and ours.shape[1] == 192


def test_pairs_match_the_last_subject_tokens_and_then_the_ends(lab_backbone):
    concept, anchor = "quartz xylophone", "dog"
    ours, theirs = paired(*rows_of_each(lab_backbone, (concept, anchor), "from_subject_to_end"), "average")
    count = len(lab_backbone.tokenize(concept).tokens)
    there = context(lab_backbone, anchor)
    last = lab_backbone.tokenize(anchor).tokens[-1].position
    torch.testing.assert_close(theirs[:count], there[[max(last - count + 1 + i, 1) for i in range(count)]])
    torch.testing.assert_close(theirs[count], there[lab_backbone.tokenize(anchor).end])
    torch.testing.assert_close(ours[count], context(lab_backbone, concept)[lab_backbone.tokenize(concept).end])


class Counting:
    """The lab model; notes what its text encoder is given at each call, and how many positions are wanted."""

    def __init__(self, backbone):
        self.backbone, self.calls, self.lengths = backbone, [], []

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def encode_text(self, texts, placeholders=None):
        self.calls.append(list(texts))
        self.lengths.append(77)
        return self.backbone.encode_text(texts, placeholders)

    def encode_beginnings(self, texts, length, placeholders=None):
        self.calls.append(list(texts))
        self.lengths.append(length)
        return self.backbone.encode_beginnings(texts, length, placeholders)


@pytest.mark.parametrize("mode", ["last_subject", "from_subject_to_end", "all"])
def test_many_texts_at_once_are_as_one_at_a_time(lab_backbone, mode):
    texts = ["cat", "", "quartz xylophone", "a red cat", "dog"] * 3
    templates = ("{}", "a photo of a {}", "{} on blue")
    counting = Counting(lab_backbone)
    for text, blocks in zip(texts, rows_of_each(counting, texts, mode, templates), strict=True):
        for block, template in zip(blocks, templates, strict=True):
            (first,) = subject_positions(lab_backbone.tokenize, text, template)
            rows = context(lab_backbone, fill(template, text))
            alone = {"last_subject": rows[[first[-1]]], "from_subject_to_end": rows[first.start :], "all": rows}
            close(block.joined(), alone[mode])
    assert len(counting.calls) <= -(-len(texts) * len(templates) // BATCH)


def test_with_last_subject_a_text_is_encoded_up_to_its_last_token(lab_backbone):
    texts = ["cat", "quartz xylophone", "cat", "a red dog", *(f"crab {number}" for number in range(40))]
    counting = Counting(lab_backbone)
    assert len(list(rows_of_each(counting, texts, "last_subject", ("{}", "a photo of a {}")))) == len(texts)
    for sentences, length in zip(counting.calls, counting.lengths, strict=True):
        tokens = [len(lab_backbone.tokenize(sentence).tokens) for sentence in sentences]
        assert length == 1 + max(tokens) and len(sentences) <= BATCH
    assert sum(map(len, counting.calls)) == 2 * (len(texts) - 1)  # one of them twice


def test_a_sentence_is_encoded_once_whatever_its_concept_is(lab_backbone):
    counting = Counting(lab_backbone)
    rows = list(rows_of_each(counting, ["red cat", "cat"], "last_subject", ("a {}", "a red {}")))
    assert counting.calls == [["a cat", "a red cat", "a red red cat"]]
    close(rows[0][0].joined(), rows[1][1].joined())


@pytest.mark.parametrize("mode", ["last_subject", "all"])
def test_no_more_is_encoded_than_is_asked_for(lab_backbone, mode):
    counting = Counting(lab_backbone)
    rows = rows_of_each(counting, [f"cat {number}" for number in range(4 * BATCH)], mode)
    for _ in range(BATCH):
        next(rows)
    assert [len(call) for call in counting.calls] == [BATCH]


def test_sentences_of_unequal_length_are_not_encoded_together(lab_backbone):
    class Chunked(Counting):
        """As a host that reads long prompts in chunks: its texts of more than five letters are of two."""

        def tokenize(self, text, placeholders=None):
            read = lab_backbone.tokenize(text, placeholders)
            return replace(read, length=2 * read.length) if len(text) > 5 else read

    chunked = Chunked(lab_backbone)
    assert len(list(rows_of_each(chunked, ["cat", "dog", "a red cat", "crab"], "last_subject"))) == 4
    assert chunked.calls == [["cat", "dog", "crab"], ["a red cat"]]


def test_a_concept_in_the_second_chunk_is_read_there(lab_backbone):
    template = "a photo of " + "a very long walk " * 20 + "and a {}"
    (first,) = subject_positions(lab_backbone.tokenize, "cat", template)
    assert first[-1] > 77
    close(
        vectors(lab_backbone, "cat", "last_subject", (template,)),
        context(lab_backbone, fill(template, "cat"))[[*first]],
    )


@pytest.mark.parametrize("combine", ["average", "separate"])
@pytest.mark.parametrize("mode", ["last_subject", "from_subject_to_end", "all"])
def test_rows_of_each_text_encoder_are_matched_by_themselves(lab_backbone, twice, mode, combine):
    """As by a model with either encoder alone, the rows of one behind those of the other."""
    asked = (("a red cat", "dog"), mode, ("{}", "a photo of a {}"))
    once = paired(*rows_of_each(lab_backbone, *asked), combine)
    for rows, both in zip(once, paired(*rows_of_each(twice, *asked), combine), strict=True):
        close(both, torch.cat([rows, 2 * rows]))
    alone = vectors(lab_backbone, "a red cat", mode, asked[2], combine)
    close(vectors(twice, "a red cat", mode, asked[2], combine), torch.cat([alone, 2 * alone]))


def test_an_empty_text_stands_for_itself_by_what_follows_it_in_each_encoder(lab_backbone, twice):
    end = lab_backbone.tokenize("").end
    row = context(lab_backbone, "")[[end]]
    close(vectors(twice, "", "last_subject"), torch.cat([row, 2 * row]))


def test_parts_of_a_concept_can_be_left_out_in_every_encoder(twice):
    (rows,) = concept_rows(twice, "a red cat", "from_subject_to_end")
    subject, rest = rows.of_subject().joined(), rows.of_rest().joined()
    assert len(subject) == 6 and len(subject) + len(rest) == len(rows.joined())
    close(subject[3:], 2 * subject[:3])
    close(rest[len(rest) // 2 :], 2 * rest[: len(rest) // 2])


def test_a_word_that_one_encoder_does_not_read_as_its_own_is_refused(lab_backbone, twice):
    class Deaf(type(twice)):
        def tokenize(self, text, placeholders=None):
            read = super().tokenize(text, placeholders)
            kept = tuple(token for token in read.tokens if not (token.reading and token.text == "cat"))
            return replace(read, tokens=kept)

    with pytest.raises(ValueError, match="is no text of its own"):
        vectors(Deaf(lab_backbone), "cat", "last_subject", ("a {}",))


def test_learnt_tokens_can_be_named(lab_backbone, generator):
    learnt = {"<pet>": {"clip_l": torch.randn(2, 192, generator=generator)}}
    rows = concept_rows(lab_backbone, "<pet>", "from_subject_to_end", ("a photo of {}",), learnt)
    assert rows[0].subject.shape == (2, 192)


def test_a_damaged_text_encoder_is_named(lab_backbone, generator):
    broken = {"<pet>": {"clip_l": torch.full((1, 192), float("nan"))}}
    with pytest.raises(ValueError, match="not finite"):
        vectors(lab_backbone, "<pet>", "all", placeholders=broken)


def test_unknown_modes_are_refused(lab_backbone):
    with pytest.raises(ValueError, match="unknown token mode"):
        vectors(lab_backbone, "cat", "first")
    with pytest.raises(ValueError, match="expected average or separate"):
        vectors(lab_backbone, "cat", "all", combine="sum")
