"""What Compose Concepts says before anything is sampled: the cost, and words that the prompt does not contain."""

import pytest

from concept_atelier.nodes import ComposeConcepts

PLAIN = {"prompt": "a cat and a rocket", "concepts": "a cat\na rocket", "places": "left\nright", "preset": "paper"}


@pytest.fixture
def said(call, sockets):
    def said_(**given):
        result = call(ComposeConcepts, model=sockets["model"], clip=sockets["clip"], **(PLAIN | given))
        return result.ui["text"][0]

    return said_


def test_without_a_weight_there_is_no_cost(said):
    text = said(method="concept_conductor", places="left weight=0\nright weight=0")
    assert "Cost: nothing." in text and "pass" not in text


def test_guidance_is_charged_where_every_region_is_given_and_told_where_not(said):
    given, found = said(method="lora_composer"), said(method="lora_composer", places="left\nfound")
    assert "with gradients" in given and "do nothing here" not in given
    assert "gradients" not in found and "guidance and renew do nothing here" in found


def test_guidance_is_left_out_on_a_transformer(call, lab_transformer):
    model, clip, *_ = lab_transformer
    text = call(ComposeConcepts, model=model, clip=clip, **PLAIN, method="lora_composer").ui["text"][0]
    assert "gradients" not in text and "they work on UNets only" in text


APART = {"prompt": "a cat in red and a cat in blue", "concepts": "a red cat\na blue cat"}


def test_words_that_were_looked_up_one_by_one_are_told_where_they_matter(said):
    alone = "does not contain 'a blue cat' as a whole. Its words were looked up one by one: blue (word 9), cat (word 7)"
    text = said(**APART, method="localized_refinement")
    assert alone in text and "'a red cat' as a whole" in text and "Write" not in text
    assert alone in said(**APART, method="attention_couple", places="")
    assert "one by one" not in said(**APART, method="attention_couple")
    assert "Write 'a blue cat' in the prompt" in said(**APART, method="concept_conductor")


@pytest.mark.parametrize("method", ["localized_refinement", "concept_conductor", "attention_couple"])
def test_a_style_that_the_prompt_does_not_name_is_told_where_only_the_prompt_draws_it(said, method):
    text = said(concepts="a cat\na rocket\nwatercolour", places="left\nright\neverywhere", method=method)
    assert ("'watercolour' takes the whole picture and is not in the prompt" in text) is (method != "attention_couple")


@pytest.mark.parametrize("method", ["attention_couple", "localized_refinement", "area"])
def test_a_thing_that_the_prompt_does_not_name_is_told(said, method):
    note = "The prompt does not name 'a dog'; write it there too"
    assert note in said(concepts="a cat\na dog", method=method) and note not in said(method=method)


def test_a_concept_that_counts_only_while_the_method_rests_is_told(said):
    given = {"method": "attention_couple", "preset": "small"}
    text = said(**given, places="left start=0.5\nright")
    assert "'a cat' has no effect: it counts from 0.5 to 1 of denoising, and the method acts from 0 to 0.4." in text
    assert "has no effect" not in said(**given, places="left start=0.3\nright")
    assert "has no effect" not in said(method="attention_couple", places="left start=0.5\nright")
