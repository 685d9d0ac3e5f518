"""Learning tokens on the Flux transformer of the lab: every method, and what the tokens are good for afterwards."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.files import load_embedding, save_adapter, save_embedding
from concept_atelier.core.learn.registry import METHODS
from concept_atelier.core.types import Concepts
from concept_atelier.host.adapters import at_work, backbone_of, with_adapter
from concept_atelier.host.headless.lora_files import read_lora
from concept_atelier.lab.model.handles import transformer_handles
from concept_atelier.lab.model.transformer import TRANSFORMER_CONFIG, build_transformer

SIZES = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 12, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def parts(lab_modules):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformer = build_transformer({**TRANSFORMER_CONFIG, **SIZES, "axes_dims_rope": (4, 4, 4)})
        transformer.eval().requires_grad_(False)
        for parameter in transformer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)  # nothing is left at zero
        return transformer_handles(transformer, lab_modules)


@pytest.fixture
def picture():
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def concepts():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, 2:6, :3], masks[1, 1:5, 5:] = True, True
    targets = masks.float() / masks.flatten(1).sum(1)[:, None, None]
    return Concepts(masks, targets, ("apple", "crab"), torch.ones(2), (64, 64))


@pytest.fixture
def learn(parts, picture, concepts):
    def go(name, memory="off", **changes):
        short = {"steps": 2} | ({"fit_steps": 2, "rounds": 1} if name == "cones" else {})
        settings = replace(METHODS[name].presets["small"], **(short | changes))
        with at_work(backbone_of(*parts), memory) as backbone:
            return METHODS[name].learn(
                backbone, picture, concepts, settings, classes={"apple": "fruit", "crab": "fish"}, seed=3
            )

    return go


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_and_leaves_the_model_as_it_was(parts, learn, name):
    before = {key: value.clone() for key, value in parts[0].unet.state_dict().items()}
    tokens = learn(name)
    assert tokens.family == "lab_flux" and tokens.names == ("apple", "crab")
    assert torch.isfinite(tokens.losses).all() and (tokens.vectors["apple"]["clip_l"] != 0).any()
    assert all(torch.equal(value, before[key]) for key, value in parts[0].unet.state_dict().items())
    backbone = backbone_of(with_adapter(parts[0], tokens), *parts[1:])
    text = backbone.encode_text(["a photo of <apple>"], tokens.placeholders())
    drawn = backbone.predict_target(torch.zeros(1, 4, 4, 4), torch.tensor([500]), text)
    assert torch.isfinite(drawn).all() and bool(tokens.adapter) == METHODS[name].changes_model


@pytest.mark.parametrize("name", ["conceptexpress", "cones", "attencraft"])
def test_less_memory_learns_the_same(learn, name):
    kept, computed_again = (learn(name, memory, steps=3) for memory in ("off", "on"))
    torch.testing.assert_close(computed_again.losses, kept.losses, rtol=1e-4, atol=1e-5)
    for concept in kept.names:
        torch.testing.assert_close(
            computed_again.vectors[concept]["clip_l"], kept.vectors[concept]["clip_l"], rtol=1e-3, atol=1e-4
        )


def test_the_loss_of_one_noise_level_falls(parts, learn):
    """The vectors move downhill: with a high rate the mean of the last losses lies below that of the first."""
    losses = learn("conceptexpress", steps=60, rate=3e-2, attention_weight=0.0).losses
    assert losses[-20:].mean() < losses[:20].mean()


def test_tokens_are_saved_and_read_again(parts, learn, tmp_path):
    tokens = learn("conceptexpress")
    save_embedding(tmp_path / "apple.safetensors", tokens, "apple")
    backbone = backbone_of(*parts)
    again = load_embedding(tmp_path / "apple.safetensors", backbone.text_widths, backbone.family)
    assert again.family == "lab_flux"
    torch.testing.assert_close(again.vectors["apple"]["clip_l"], tokens.vectors["apple"]["clip_l"])


def test_the_change_that_belongs_to_tokens_is_a_lora_of_the_same_effect(parts, learn, tmp_path):
    tokens = learn("attencraft", rank=2, adapter_rate=1e-2)
    save_adapter(tmp_path / "adapter.safetensors", tokens)
    lora = read_lora(tmp_path / "adapter.safetensors", parts[0].unet, "lab_flux")
    text = backbone_of(*parts).encode_text(["a cat"])
    drawn = [
        backbone_of(model).predict_target(torch.zeros(1, 4, 4, 4), torch.tensor([500]), text)
        for model in (parts[0], with_adapter(parts[0], tokens), parts[0].with_patch(lora.patch(1.0)))
    ]
    torch.testing.assert_close(drawn[2], drawn[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(drawn[0], drawn[1], atol=1e-4)
