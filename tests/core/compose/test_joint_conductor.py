"""Concept Conductor on a transformer, whose text and picture share their attention."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.parts.branches import decoder_sites, injected
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.host.adapters import backbone_of, layers_of

LEFT = torch.zeros(6, 8)
LEFT[:, :4] = 1
TIME = torch.tensor([900])
COMPOSER = METHODS["concept_conductor"]


@pytest.fixture(scope="module")
def backbone(lab_transformer):
    return backbone_of(*lab_transformer)


@pytest.fixture
def latent():
    return torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(1))


def drawn(backbone, latent, prompt, concepts, time=TIME, **settings):
    """What the model predicts for the prompt's pass, and how far the latent moved before it."""
    composition = compose(backbone, prompt, concepts, branches=True)
    quiet = {"layout": 0.0, "refine_until": 0.0} | settings
    run = COMPOSER.begin(composition, replace(COMPOSER.preset("paper"), **quiet), share_of(backbone.schedule.steps))
    with torch.no_grad():
        moved = run.before(backbone, latent, time)
        with backbone.edit_attention(run.edit):
            return backbone.predict_noise(moved, time, composition.conditioning), (moved - latent).abs().max()


def test_a_branch_that_reads_the_prompt_changes_nothing(backbone, latent):
    """Its rows of the picture are those of the prompt's pass, and the texts beside the prompt are not read."""
    ours, moved = drawn(backbone, latent, "a cat", [Concept("a cat", LEFT), Concept("a cat", 1 - LEFT)])
    text = backbone.encode_text(["a cat"])
    with torch.no_grad():
        plain = backbone.predict_noise(latent, TIME, text)
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
    assert not moved


def test_a_branch_reaches_the_picture_with_its_own_text(backbone, latent):
    prompt, cat = "a cat and a rocket", Concept("a cat", LEFT)
    one, other = (
        drawn(backbone, latent, prompt, [cat, Concept(text, 1 - LEFT)])[0] for text in ("a rocket", "a red crab")
    )
    assert not torch.allclose(one, other, atol=1e-3)
    nothing = [Concept("a cat", LEFT, weight=0.0), Concept("a rocket", 1 - LEFT, weight=0.0)]
    text = backbone.encode_text([prompt])
    with torch.no_grad():
        plain = backbone.predict_noise(latent, TIME, text)
    torch.testing.assert_close(drawn(backbone, latent, prompt, nothing)[0], plain, rtol=1e-4, atol=1e-4)


def test_layouts_are_aligned_and_masks_take_shapes(backbone, latent):
    concepts = [Concept("a cat", LEFT), Concept("a rocket", 1 - LEFT)]
    settings = {"layout": 10.0, "refine_from": 0.0, "refine_until": 0.9}
    ours, moved = drawn(backbone, latent, "a cat and a rocket", concepts, **settings)
    assert moved > 0 and bool(torch.isfinite(ours).all())
    plain, _ = drawn(backbone, latent, "a cat and a rocket", concepts)
    assert not torch.allclose(ours, plain, atol=1e-4)


def test_branches_give_the_second_half_of_the_blocks(backbone):
    names = [site.name for site in backbone.attention_sites()]
    assert [name in injected(backbone) for name in names] == [False, True, True]
    first, last = decoder_sites(backbone, (6, 8), 1024)
    assert first.name == names[1] and last.name == names[2]


def test_in_its_own_pass_a_concept_computes_with_its_lora(lab_transformer, backbone):
    layers = {layer.name: layer for layer in layers_of(lab_transformer[0]).values() if layer.placed}
    assert {"transformer_blocks.0.attn.to_q", "single_transformer_blocks.0.proj_mlp"} <= layers.keys()
    assert not any("norm" in name or "time" in name for name in layers)
