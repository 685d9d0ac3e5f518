"""Probe Layers over the lab model at random weights."""

import pytest

from concept_atelier.nodes import ProbeLayers

PROMPTS = {
    "with_concept": "a cat\na dog\na lion\na fox",
    "without_concept": "a red house\na red car\na red rocket\na red chair",
}


def test_layers_blocks_and_noise_levels_stand_on_one_page(call, sockets):
    given = {"clip": sockets["clip"], **PROMPTS, "settings": "steps=2, side=64, shuffles=20"}
    small, _ = call(ProbeLayers, **given)
    page, report = call(ProbeLayers, **given, model=sockets["model"], where="both")
    assert page.shape[1] > small.shape[1] and page.shape[2] == small.shape[2]
    assert "layer 1: " in report and "Clip skip" in report and "Denoiser, AUROC at noise 1.00, 0.85" in report
    assert "differ by their words alone" in report


def test_what_cannot_be_probed_is_refused(call, sockets):
    with pytest.raises(ValueError, match="connect a MODEL"):
        call(ProbeLayers, clip=sockets["clip"], **PROMPTS, where="denoiser")
    with pytest.raises(ValueError, match="at least 4 examples"):
        call(ProbeLayers, clip=sockets["clip"], **{**PROMPTS, "with_concept": "a cat"})
