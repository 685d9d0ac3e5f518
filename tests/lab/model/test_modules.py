"""The lab model's anatomy."""

import pytest
import torch

from concept_atelier.lab.model.modules import CONTEXT_LENGTH, build_modules, load_tokenizer
from concept_atelier.lab.world.atlas import load_atlas


@pytest.fixture(scope="module")
def modules():
    return build_modules(0)


def test_same_seed_same_weights_and_no_trace_in_the_global_generator(modules):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = build_modules(0)
    assert torch.equal(torch.rand(3), expected)
    for part in ("unet", "text_encoder", "vae"):
        first, second = getattr(modules, part).state_dict(), getattr(again, part).state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_vocabulary_covers_every_word():
    tokenizer = load_tokenizer()
    for kind in load_atlas().kinds:
        for word in kind.words:
            ids = tokenizer(word).input_ids
            assert tokenizer.unk_token_id not in ids[1:-1]
            assert tokenizer.decode(ids, skip_special_tokens=True).strip() == word


def test_some_training_words_take_several_tokens():
    tokenizer = load_tokenizer()
    lengths = [len(tokenizer(w).input_ids) - 2 for k in load_atlas().of_split("train") for w in k.words]
    assert lengths.count(1) > 20 and sum(n > 1 for n in lengths) > 10


def test_padding_repeats_the_end_token_as_in_sd15():
    ids = load_tokenizer()("a cat", padding="max_length", max_length=CONTEXT_LENGTH).input_ids
    assert len(ids) == CONTEXT_LENGTH and set(ids[3:]) == {load_tokenizer().eos_token_id}


def test_text_encoder_is_causal(modules):
    ids = torch.tensor([load_tokenizer()("a cat and a dog", padding="max_length", max_length=77).input_ids])
    changed = ids.clone()
    changed[0, 5:] = 3
    a, b = (modules.text_encoder(i).last_hidden_state for i in (ids, changed))
    assert torch.allclose(a[:, :5], b[:, :5], atol=1e-5)
    assert not torch.allclose(a[:, 5:], b[:, 5:], atol=1e-3)


@pytest.mark.parametrize("size", [(16, 16), (8, 20), (7, 9)])
def test_unet_takes_any_latent_size(modules, size):
    out = modules.unet(torch.randn(2, 4, *size), torch.tensor([3, 900]), torch.randn(2, 77, 192)).sample
    assert out.shape == (2, 4, *size)


def test_attention_stands_on_three_grids(modules):
    names = [name for name, _ in modules.unet.named_modules() if name.endswith(("attn1", "attn2"))]
    assert len(names) == 2 * (3 + 1 + 6)
