import pytest

from concept_atelier.core.erase.parts.subject_places import fill, subject_positions


def test_an_empty_text_leaves_its_sentence_empty():
    assert fill("a photo of a {}", "cat") == "a photo of a cat" and fill("a photo of a {}", "") == ""


def test_subject_positions_cover_all_sub_tokens_wherever_the_template_puts_them(lab_backbone):
    text = "xylophone-player quartz"
    alone = [token.text for token in lab_backbone.tokenize(text).tokens]
    assert len(alone) > 3
    for template in ("{}", "a photo of {}", "a {} on blue", "{} and more"):
        (positions,) = subject_positions(lab_backbone.tokenize, text, template)
        tokens = lab_backbone.tokenize(fill(template, text)).tokens
        assert [token.text for token in tokens if token.position in positions] == alone


def test_a_template_that_glues_letters_to_the_text_is_refused(lab_backbone):
    with pytest.raises(ValueError, match="put a space around"):
        subject_positions(lab_backbone.tokenize, "cat", "super{}")
