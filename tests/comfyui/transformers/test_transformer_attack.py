"""Attack Erasure on diffusion transformers of ComfyUI's own classes, also where texts differ in length."""

import pytest
import torch

FAMILIES = ("flux", "flux2", "flux2_dev", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")
QUICK = (
    "draws=3, steps=2, side=64, batch=8, shown=2, learn_steps=1, inversion_passes=1, relearn_steps=1, relearn_every=1, "
    "relearn_rank=1"
)
WORDS = {"concept": "cat", "others": "dog, a very long name of a car", "synonyms": "kitty, a small and furry kitten"}


@pytest.fixture
def given(reading_parts_of, run):
    """An erased model beside the original, by family."""

    def go(family):
        parts, vision = reading_parts_of(family), run("LoadLabClipVision")[0]
        erased = run("EraseConcepts", model=parts["model"], clip=parts["clip"], concepts="cat", preset="small")[0]
        return {**parts, "erased_model": erased, "clip_vision": vision, "settings": QUICK}

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_every_scenario_runs_and_the_model_is_as_before(given, run, pack, family):
    parts = given(family)
    state = {name: weight.clone() for name, weight in parts["model"].model.state_dict().items()}
    if family == "lumina2":  # of whose attention no changes are learnt
        found = run("AttackErasure", **parts, **WORDS, scenarios="weights")[0]
        assert "set relearn_layers=text" in found.left_out["relearning"]
        parts["settings"] += ", relearn_layers=text"
    found = run("AttackErasure", **parts, **WORDS, relatives="animal", scenarios="all")[0]
    assert len(found.outcomes) == len(pack("core.attack.registry").SCENARIOS) and not found.left_out
    assert all(len(outcome.attempt.erased) == 3 for outcome in found.outcomes)
    assert all(torch.equal(weight, state[name]) for name, weight in parts["model"].model.state_dict().items())
