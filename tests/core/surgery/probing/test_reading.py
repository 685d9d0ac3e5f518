"""What is probed of the lab model at random weights."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.surgery.probing.curves import ProbeCurve
from concept_atelier.core.surgery.probing.reading import (
    ProbeSettings,
    TextProbe,
    bag_of_tokens,
    passes_of,
    probe_denoiser,
    probe_text,
)

WITH = [f"a {word}" for word in ("cat", "dog", "lion", "rabbit")]
WITHOUT = [f"a red {word}" for word in ("house", "car", "rocket", "guitar", "apple")]
PRESENT = torch.tensor([True] * 4 + [False] * 5)
HOW = ProbeSettings(shuffles=20, steps=2, side=64, guidance=4.0)


@pytest.mark.parametrize("pool", ["end", "mean"])
def test_every_layer_is_probed_and_a_word_is_found_in_the_tokens(lab_backbone, pool):
    texts = []
    found = probe_text(lab_backbone, [*WITH, *WITHOUT], PRESENT, ProbeSettings(shuffles=20, pool=pool), 0, texts.append)
    curve = found.curves["clip_l"]
    assert sum(texts) == passes_of(9, False, HOW) == 9 and curve.places[:2] == ("tokens", "layer 1")
    assert found.words == 1.0 and found.read["clip_l"] == len(curve.places) - 1
    if pool == "mean":
        assert float(curve.auroc[0]) == 1.0
    else:
        assert float(curve.auroc.max()) > 0.5


def test_a_bag_counts_pieces(lab_backbone):
    bag = bag_of_tokens(lab_backbone, ["a cat and a dog", "a dog", ""])
    assert bag.sum(1).tolist() == [5, 2, 0] and float(bag[0].max()) == 2


def test_every_block_is_probed_at_every_noise_level(lab_backbone):
    passes = []
    found = probe_denoiser(lab_backbone, [*WITH, *WITHOUT], PRESENT, HOW, 0, passes.append)
    blocks = [site for site in lab_backbone.attention_sites() if site.kind == "self"]
    assert found.grid.shape == (2, len(blocks)) and found.noise[0] == pytest.approx(1.0, abs=0.01)
    assert sum(passes) == passes_of(9, True, HOW) - 9
    assert found.curve.places[len(blocks)].startswith(blocks[0].name)


def test_a_transformer_is_probed_where_text_and_picture_meet(lab_transformer):
    from concept_atelier.host.adapters import backbone_of

    backbone = backbone_of(*lab_transformer)
    found = probe_denoiser(backbone, [*WITH, *WITHOUT], PRESENT, HOW, 0)
    assert len(found.blocks) == len(backbone.attention_sites()) and bool(torch.isfinite(found.grid).all())


@pytest.mark.parametrize(
    ("auroc", "read", "skip"),
    [
        ([0.5, 0.7, 0.9, 0.8], 3, -2),  # the layer before the last knows more
        ([0.5, 0.7, 0.9, 0.89], 3, None),  # the last knows as much
        ([0.5, 0.7, 0.8, 0.95], 2, None),  # what knows more is not read
        ([0.95, 0.7, 0.8, 0.8], 3, None),  # tokens cannot be read
        ([0.5, 0.5, 0.55, 0.5], 3, None),  # nothing is known
    ],
)
def test_clip_skip_is_advised_where_an_earlier_layer_knows_more(auroc, read, skip):
    places = ("tokens", "layer 1", "layer 2", "layer 3")
    probe = TextProbe({"clip_l": ProbeCurve(places, torch.tensor(auroc), 0.6)}, 0.5, {"clip_l": read})
    assert probe.clip_skip("clip_l") == skip


def test_prompts_of_unequal_length_are_probed_together(lab_backbone):
    """One needs two passes of the text encoder."""
    long = "a cat and " + " and ".join(["a dog"] * 40)
    found = probe_text(lab_backbone, [*WITH[:-1], long, *WITHOUT], PRESENT, ProbeSettings(shuffles=20, pool="end"), 0)
    assert bool(torch.isfinite(found.curves["clip_l"].auroc).all())


def test_shares_of_noise_are_those_of_the_schedule(lab_backbone):
    found = probe_denoiser(lab_backbone, [*WITH, *WITHOUT], PRESENT, replace(HOW, steps=4), 0)
    alphas = lab_backbone.schedule.alphas_cumprod
    wanted = [float((1 - alphas[step]) ** 0.5) for step in (999, 749, 500, 250)]
    assert found.noise == pytest.approx(wanted, abs=0.01)
