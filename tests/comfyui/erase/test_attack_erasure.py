"""Attack Erasure and Erasure Report inside ComfyUI: figures of every scenario, and models left as they were."""

import json

import pytest
import torch

QUICK = (
    "draws=2, steps=2, side=64, batch=8, shown=2, learn_steps=1, inversion_passes=1, relearn_steps=1, relearn_every=1, "
    "relearn_rank=1"
)


@pytest.fixture(scope="module")
def vision(run):
    return run("LoadLabClipVision")[0]


@pytest.fixture
def given(parts_of, run, vision):
    """An erased model beside the original, by family."""

    def go(family, **changes):
        parts = parts_of(family)
        concepts = {"concepts": "cat", "preset": "small", **changes}
        erased, _, clip = run("EraseConcepts", model=parts["model"], clip=parts["clip"], **concepts)
        return {**parts, "erased_model": erased, "erased_clip": clip, "clip_vision": vision, "settings": QUICK}

    return go


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_every_scenario_runs_and_the_model_is_as_before(given, run, draw, family, pack):
    parts = given(family)
    before = draw(parts)  # also puts the original's weights in place, whatever was drawn last
    state = {name: weight.clone() for name, weight in parts["model"].model.state_dict().items()}
    found, sheet, said = run(
        "AttackErasure", **parts, others="dog, car", synonyms="kitty", relatives="animal", scenarios="all"
    )
    assert len(found.outcomes) == len(pack("core.attack.registry").SCENARIOS) and not found.left_out
    assert len(said.splitlines()) == 1 + len(found.outcomes) and sheet.shape[3] == 3
    assert torch.equal(draw(parts), before)  # also puts the original's weights back in place of the erased ones
    assert all(torch.equal(weight, state[name]) for name, weight in parts["model"].model.state_dict().items())


def test_a_changed_text_encoder_is_attacked_and_reported(given, run, draw):
    parts = given("lab", method="hirm", settings="steps=2")
    before = draw(parts)
    attack = run("AttackErasure", **parts, others="dog", only="names, embedding")[0]
    words = {"concepts": "cat", "synonyms": "", "neighbours": "dog", "others": "car", "filename_prefix": ""}
    page, _, body = run("ErasureReport", **parts, **words, attack=attack)
    assert page.shape[0] == 1 and {row["part"] for row in json.loads(body)["rows"]} >= {"words", "attack"}
    assert torch.equal(draw(parts), before)


def test_a_guard_on_the_erased_model_acts_in_its_pictures(given, run, draw):
    parts = given("lab")
    before = draw(parts)
    asked = {"concepts": "cat", "clip": parts["clip"], "method": "adavd", "preset": "small", "settings": "threshold=-1"}
    guarded = run("GuardAgainstConcepts", model=parts["erased_model"], **asked)[0]
    asked = {"others": "dog", "only": "inversion_transferred"}
    plain, found = (
        run("AttackErasure", **{**parts, "erased_model": model}, **asked)[0].outcomes[0].attempt
        for model in (parts["erased_model"], guarded)
    )
    assert torch.equal(found.ceiling, plain.ceiling) and not torch.allclose(found.erased, plain.erased, atol=1e-3)
    assert torch.equal(draw(parts), before)
