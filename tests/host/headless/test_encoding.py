import copy

import pytest
import torch

from concept_atelier.core.backbone import TextTooLongError
from concept_atelier.host.headless.encoding import encode, encode_beginnings, text_widths, word_vectors
from concept_atelier.host.shared.handles import ClipHandle, TextEncoder


def bare(lab_modules, text, **options):
    ids = lab_modules.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return lab_modules.text_encoder(ids, **options)


def test_plain_texts_are_encoded_as_the_model_does(lab_modules, lab_clip):
    with torch.no_grad():
        got = encode(lab_clip, ["a cat-face", ""], None)
    expected = bare(lab_modules, ["a cat-face", ""])
    assert got.context.equal(expected.last_hidden_state)
    assert got.extras["pooled_output"].equal(expected.pooler_output)


def test_a_words_own_vectors_in_a_placeholder_change_nothing(lab_clip):
    vectors = word_vectors(lab_clip, "giraffe")
    assert len(vectors["clip_l"]) > 1  # several tokens
    with torch.no_grad():
        got = encode(lab_clip, ["a <g> on blue", "<g>"], {"<g>": vectors})
        expected = encode(lab_clip, ["a giraffe on blue", "giraffe"], None)
    assert got.context.equal(expected.context)
    assert got.extras["pooled_output"].equal(expected.extras["pooled_output"])


def test_gradients_reach_the_vectors_and_no_weight(lab_modules, lab_clip):
    vectors = torch.zeros(2, 192, requires_grad=True)
    conditioning = encode(lab_clip, ["a <g>", "no learnt word"], {"<g>": {"clip_l": vectors}})
    conditioning.context[0].square().sum().backward()
    assert (vectors.grad.abs().sum(1) > 0).all()
    assert all(weight.grad is None for weight in lab_modules.text_encoder.parameters())


def test_nothing_is_left_in_the_model(lab_modules, lab_clip):
    table = lab_modules.text_encoder.get_input_embeddings()
    before = table.weight.detach().clone()
    encode(lab_clip, ["<g>"], {"<g>": {"clip_l": torch.ones(1, 192)}})
    with pytest.raises(RuntimeError):
        encode(lab_clip, ["<g>"], {"<g>": {"clip_l": torch.ones(1, 192, device="meta")}})
    assert not table._forward_hooks and table.weight.equal(before)


def test_weights_loaded_under_inference_mode_can_be_learnt_through(lab_modules):
    with torch.inference_mode():
        frozen = copy.deepcopy(lab_modules.text_encoder)
    assert next(frozen.parameters()).is_inference()
    vectors = torch.zeros(1, 192, requires_grad=True)
    clip = ClipHandle({"clip_l": TextEncoder(lab_modules.tokenizer, frozen)}, "lab")
    encode(clip, ["a <g>"], {"<g>": {"clip_l": vectors}}).context.square().sum().backward()
    assert vectors.grad.abs().sum() > 0


def test_clip_skip_reads_an_earlier_layer(lab_modules):
    hidden = bare(lab_modules, "a cat", output_hidden_states=True).hidden_states[-2]
    for normalise, expected in ((False, hidden), (True, lab_modules.text_encoder.final_layer_norm(hidden))):
        encoder = TextEncoder(lab_modules.tokenizer, lab_modules.text_encoder, layer=-2, normalise=normalise)
        with torch.no_grad():
            got = encode(ClipHandle({"clip_l": encoder}, "lab"), ["a cat"], None)
        assert got.context.equal(expected)


def test_vectors_of_another_model_are_refused(lab_clip):
    assert text_widths(lab_clip) == {"clip_l": 192}
    with pytest.raises(ValueError, match="768 wide, this model's are 192"):
        encode(lab_clip, ["<g>"], {"<g>": {"clip_l": torch.zeros(1, 768)}})
    with pytest.raises(ValueError, match="has vectors for clip_g; this model needs clip_l"):
        encode(lab_clip, ["<g>"], {"<g>": {"clip_g": torch.zeros(1, 192)}})


@pytest.mark.parametrize("texts", [[], "a cat"])
def test_a_list_of_texts_is_needed(lab_clip, texts):
    with pytest.raises(ValueError, match="list of at least one text"):
        encode(lab_clip, texts, None)


def test_word_vectors_are_copies_of_table_rows(lab_modules, lab_clip):
    vectors = word_vectors(lab_clip, "cat")["clip_l"]
    table = lab_modules.text_encoder.get_input_embeddings().weight
    ids = lab_modules.tokenizer("cat", add_special_tokens=False)["input_ids"]
    assert vectors.equal(table[ids]) and not vectors.requires_grad
    assert vectors.data_ptr() != table[ids[0]].data_ptr()
    with pytest.raises(ValueError, match="no tokens"):
        word_vectors(lab_clip, " ")


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.1, -1.0])
def test_a_weight_moves_a_words_position_away_from_the_empty_text(lab_clip, weight):
    with torch.no_grad():
        got, plain, empty = (encode(lab_clip, [text], None) for text in (f"a (cat:{weight}) on", "a cat on", ""))
    expected = plain.context.clone()
    expected[0, 2] = empty.context[0, 2] + weight * (plain.context[0, 2] - empty.context[0, 2])
    assert torch.allclose(got.context, expected, atol=1e-5)
    assert torch.allclose(got.extras["pooled_output"], plain.extras["pooled_output"], atol=1e-5)


def test_weights_of_one_text_leave_the_others_alone(lab_clip):
    with torch.no_grad():
        many = encode(lab_clip, ["a (cat:2)", "a cat", "((cat))"], None)
        single = [encode(lab_clip, [text], None) for text in ("a (cat:2)", "a cat", "(cat:1.21)")]
    assert torch.allclose(many.context, torch.cat([one.context for one in single]), atol=1e-5)
    assert torch.allclose(
        many.extras["pooled_output"], torch.cat([one.extras["pooled_output"] for one in single]), atol=1e-5
    )


def test_a_weight_of_one_is_no_weight(lab_clip):
    with torch.no_grad():
        assert encode(lab_clip, ["(a:1.0) cat"], None).context.equal(encode(lab_clip, ["a cat"], None).context)


def test_gradients_reach_a_weighted_token(lab_clip):
    vectors = torch.zeros(1, 192, requires_grad=True)
    encode(lab_clip, ["a (<g>:1.5)"], {"<g>": {"clip_l": vectors}}).context.square().sum().backward()
    assert vectors.grad.abs().sum() > 0


LONG = "a photo of a cat on blue and " * 11


def test_a_long_prompt_is_the_encodings_of_its_chunks(lab_modules, lab_clip):
    ids = lab_modules.tokenizer(LONG, add_special_tokens=False)["input_ids"]
    assert 75 < len(ids) < 150
    chunks = [lab_modules.tokenizer.decode(part) for part in (ids[:75], ids[75:])]
    with torch.no_grad():
        got, expected = encode(lab_clip, [LONG], None), bare(lab_modules, chunks)
    assert got.context.shape == (1, 154, 192)
    assert torch.allclose(got.context[0], expected.last_hidden_state.flatten(0, 1), atol=1e-5)
    assert torch.allclose(got.extras["pooled_output"][0], expected.pooler_output[0], atol=1e-5)


def test_long_prompts_are_encoded_together_where_they_need_as_many_chunks(lab_clip):
    texts = [f"({LONG}:1.2)", f"<g> {LONG}"]
    vectors = {"<g>": {"clip_l": torch.ones(3, 192)}}
    with torch.no_grad():
        both, single = encode(lab_clip, texts, vectors), [encode(lab_clip, [text], vectors) for text in texts]
    assert torch.allclose(both.context, torch.cat([one.context for one in single]), atol=1e-4)
    pooled = torch.cat([one.extras["pooled_output"] for one in single])
    assert torch.allclose(both.extras["pooled_output"], pooled, atol=1e-4)
    with pytest.raises(TextTooLongError, match="takes 2 passes of the text encoder and another text 1"):
        encode(lab_clip, [LONG, "a cat"], None)


@pytest.mark.parametrize("length", [1, 2, 5, 77, 80, 154])
def test_beginnings_are_those_of_the_whole_encoding(lab_clip, length):
    walk = "a very (long:1.3) walk <g> " * (20 if length > 77 else 1)
    texts, learnt = [walk, f"the {walk}"], {"<g>": {"clip_l": torch.full((2, 192), 0.02)}}
    with torch.no_grad():
        whole = encode(lab_clip, texts, learnt).context
        got = encode_beginnings(lab_clip, texts, length, learnt)
    torch.testing.assert_close(got, whole[:, :length], atol=1e-5, rtol=1e-5)


def test_beginnings_that_a_text_does_not_have_are_refused(lab_clip):
    with pytest.raises(TextTooLongError, match="78 positions were asked for of a text that has 77"):
        encode_beginnings(lab_clip, ["a cat"], 78, None)
