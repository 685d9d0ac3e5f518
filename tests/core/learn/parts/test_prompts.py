import pytest
import torch

from concept_atelier.core.learn.parts.prompts import (
    Prompt,
    encode_together,
    placeholder_positions,
    prompt_of,
    single_and_joint,
)

NAMES = ("apple", "crab", "bell")


def test_one_prompt_each_and_one_for_all():
    prompts = single_and_joint(NAMES, "a photo of {}")
    assert [prompt.text for prompt in prompts] == [
        "a photo of <apple>",
        "a photo of <crab>",
        "a photo of <bell>",
        "a photo of <apple> and <crab> and <bell>",
    ]
    assert [prompt.members for prompt in prompts] == [(0,), (1,), (2,), (0, 1, 2)]


def test_no_joint_prompt_for_one_concept_or_when_switched_off():
    assert len(single_and_joint(NAMES[:1], "{}")) == 1
    assert len(single_and_joint(NAMES, "{}", joint=False)) == 3


@pytest.mark.parametrize("template", ["a photo", "{} and {}", ""])
def test_template_needs_one_place(template):
    with pytest.raises(ValueError, match="exactly one"):
        prompt_of(NAMES, [0], template)


@pytest.mark.parametrize("name", ["", "red apple", "<apple>", "a\nb"])
def test_names_that_cannot_be_written_are_refused(name):
    with pytest.raises(ValueError, match="name must have no spaces"):
        prompt_of((name,), [0], "{}")


def test_positions_cover_every_vector_of_every_member(lab_backbone):
    vectors = {f"<{name}>": {"clip_l": torch.zeros(2, 192)} for name in NAMES}
    prompt = prompt_of(NAMES, [2, 0], "a photo of {} on blue")
    found = placeholder_positions(lab_backbone, prompt, NAMES, vectors)
    tokens = lab_backbone.tokenize(prompt.text, vectors).tokens
    assert [len(positions) for positions in found] == [2, 2]
    assert {token.placeholder for token in tokens if token.position in found[0]} == {"<bell>"}
    assert {token.placeholder for token in tokens if token.position in found[1]} == {"<apple>"}


def test_too_many_concepts_for_one_prompt_say_what_to_do(lab_backbone):
    names = tuple(f"thing{i}" for i in range(60))
    vectors = {f"<{name}>": {"clip_l": torch.zeros(1, 192)} for name in names}
    texts = [prompt.text for prompt in single_and_joint(names, "{}")]
    assert encode_together(lab_backbone, texts[:2], vectors).context.shape == (2, 77, 192)
    with pytest.raises(ValueError, match="takes 2 passes of the text encoder and another text 1.*joint prompt off"):
        encode_together(lab_backbone, texts, vectors)


def test_an_error_that_is_not_of_length_passes_as_it_is():
    class Broken:
        def encode_text(self, texts, placeholders):
            raise ValueError("too many values to unpack (expected 2)")

    with pytest.raises(ValueError, match="^too many values to unpack"):
        encode_together(Broken(), ["a"], {})


def test_a_prompt_is_plain_data():
    assert prompt_of(NAMES, (1,), "the {}") == Prompt("the <crab>", (1,))
