from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from concept_atelier.core.backbone import TextTooLongError, UnequalTextsError
from concept_atelier.core.learn.methods.conceptexpress import METHOD
from concept_atelier.core.learn.parts.classdiffusion import class_term, text_features

QUICK = replace(METHOD.preset("small"), steps=1, attention_weight=0.0)


def leaf(backbone, word):
    return {"clip_l": backbone.word_vectors(word)["clip_l"].requires_grad_()}


def test_is_one_less_the_cosine_of_both_phrases_at_their_ends(lab_backbone):
    loss = class_term(lab_backbone, {"x": "cat"})({"x": leaf(lab_backbone, "lion")})
    spoken, plain = text_features(lab_backbone, ["a photo of a lion cat", "a photo of a cat"])
    torch.testing.assert_close(loss, 1 - F.cosine_similarity(spoken[0], plain[0], dim=0))
    assert loss > 1e-4


def test_features_are_read_at_the_first_end_of_text(lab_backbone):
    text = "a photo of a cat"
    context = lab_backbone.encode_text([text]).context[0]
    end = lab_backbone.tokenize(text).end
    assert end < len(context) - 1
    assert torch.equal(text_features(lab_backbone, [text]), context[None, None, end])


def test_the_ends_of_every_text_encoder_are_read(lab_backbone, twice):
    texts = ["a photo of a cat", "a photo of a rocket"]
    once = text_features(lab_backbone, texts)
    torch.testing.assert_close(text_features(twice, texts), torch.cat([once, 2 * once], 1))
    token = {"x": leaf(lab_backbone, "lion")}
    torch.testing.assert_close(class_term(twice, {"x": "cat"})(token), class_term(lab_backbone, {"x": "cat"})(token))


def test_the_class_word_is_recorded(lab_backbone):
    token = {"x": leaf(lab_backbone, "lion")}
    assert class_term(lab_backbone, {"x": "cat"})(token) != class_term(lab_backbone, {"x": "rocket"})(token)


def test_concepts_have_classes_of_their_own_and_those_without_are_left_alone(lab_backbone):
    tokens = {"x": leaf(lab_backbone, "lion"), "y": leaf(lab_backbone, "crab"), "z": leaf(lab_backbone, "bell")}
    both = class_term(lab_backbone, {"x": "cat", "y": "fish", "z": " "})(tokens)
    alone = [class_term(lab_backbone, {name: word})(tokens) for name, word in (("x", "cat"), ("y", "fish"))]
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)
    slopes = torch.autograd.grad(both, [of["clip_l"] for of in tokens.values()], allow_unused=True)
    assert slopes[0].any() and slopes[1].any() and slopes[2] is None


def test_a_class_that_stands_behind_the_end_of_the_first_chunk_is_refused(lab_backbone):
    long = "cat " * 73
    with pytest.raises(TextTooLongError, match="class of 'x' does not fit into the first 76 positions"):
        class_term(lab_backbone, {"x": long}, "a photo of the {}")
    fits = class_term(lab_backbone, {"x": "cat"}, "a photo of a {} " + long)
    assert fits({"x": leaf(lab_backbone, "lion")}) > 0
    many = {"clip_l": torch.zeros(75, 192)}
    with pytest.raises(TextTooLongError, match="fewer vectors per token"):
        class_term(lab_backbone, {"x": "cat"})({"x": many})


def test_no_gradient_reaches_the_model(lab_backbone, lab_modules):
    class_term(lab_backbone, {"x": "cat"})({"x": (token := leaf(lab_backbone, "lion"))}).backward()
    assert token["clip_l"].grad.any()
    assert all(weight.grad is None for weight in lab_modules.text_encoder.parameters())


def test_following_it_brings_a_token_nearer_to_its_class(lab_backbone):
    token = leaf(lab_backbone, "lion")
    term = class_term(lab_backbone, {"x": "cat"})
    first = term({"x": token})
    (slope,) = torch.autograd.grad(first, [token["clip_l"]])
    moved = {"clip_l": token["clip_l"].detach() - 0.01 * slope / slope.norm()}
    assert term({"x": moved}) < first


def test_any_method_takes_it(lab_backbone, picture, concepts):
    free = METHOD.learn(lab_backbone, picture, concepts, QUICK)
    held = METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, class_weight=10.0), classes={"apple": "cat"})
    assert held.losses[0] > free.losses[0]
    assert not torch.equal(free.vectors["apple"]["clip_l"], held.vectors["apple"]["clip_l"])
    assert held.metadata["passes"] == free.metadata["passes"]


@pytest.mark.parametrize(
    ("classes", "message"), [(None, "no concept has a class word"), ({"pear": "x"}, "class words")]
)
def test_what_is_missing_is_reported(lab_backbone, picture, concepts, classes, message):
    with pytest.raises(ValueError, match=message):
        METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, class_weight=1.0), classes=classes)


def test_a_template_needs_one_place(lab_backbone):
    with pytest.raises(ValueError, match="exactly one"):
        class_term(lab_backbone, {"x": "cat"}, "a photo")


def test_classes_of_unequal_length_are_encoded_one_by_one_where_the_model_asks_for_it(lab_backbone, monkeypatch):
    texts = ["a photo of a cat", "a photo of a golden lion"]
    together = text_features(lab_backbone, texts)
    encode = type(lab_backbone).encode_text

    def of_one_length(self, given, placeholders=None):
        if len({len(text.split()) for text in given}) > 1:
            raise UnequalTextsError("only texts of one length go together")
        return encode(self, given, placeholders)

    monkeypatch.setattr(type(lab_backbone), "encode_text", of_one_length)
    torch.testing.assert_close(text_features(lab_backbone, texts), together)
