"""Shares of a fine-tune beside it, and a LoRA of smaller rank, over the lab model at random weights."""

import copy
import weakref
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attack.parts.settings import PRESETS
from concept_atelier.core.surgery.skill import Skill
from concept_atelier.core.surgery.sparse import SparseChange, difference
from concept_atelier.core.types import LowRank
from concept_atelier.host.adapters import backbone_of, weights_of, with_skill
from concept_atelier.host.jobs.surgery.grafting import graft
from concept_atelier.host.shared.weights.weight_patches import WeightPatch
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import GraftSkill, SlimLora

NAME = "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_v.weight"


@pytest.fixture(scope="module")
def with_lora(sockets):
    """A LoRA of rank 6 of which two ranks matter."""
    made = torch.Generator().manual_seed(4)
    rows, columns = sockets["model"].unet.get_parameter(NAME).shape
    sizes = torch.tensor([9.0, 6.0, 0.1, 0.1, 0.1, 0.1])
    up, down = (torch.linalg.qr(torch.randn(n, 6, generator=made))[0] for n in (rows, columns))
    return sockets["model"].with_patch(WeightPatch({NAME: LowRank(up * sizes, down.T.contiguous())}))


def test_shares_are_drawn_beside_the_fine_tune(call, sockets):
    unet = copy.deepcopy(sockets["model"].unet)
    weight = unet.get_parameter("conv_out.weight")
    weight.data = weight.data + torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 3
    tuned = replace(sockets["model"], unet=unet)
    given = {"tuned_model": tuned, "clip_vision": load_vision(), "prompts": "a cat\na dog, red"}
    small = {"settings": "draws=1, steps=1, side=64, batch=2", "shares": "100, 1"}
    skill, model, _, page, report = call(GraftSkill, **sockets, **given, **small)
    assert len(skill.changes) == 1 and skill.share == pytest.approx(1.0)
    assert torch.equal(weights_of(model)["conv_out.weight"], weight)
    assert page.ndim == 4 and "100% is the smallest share" in report and len(report.splitlines()) == 3


def test_no_share_outlives_its_pictures(sockets):
    """Only the best of them is kept."""
    alive, seen = weakref.WeakSet(), []

    def localise(share):
        seen.append(len(alive))
        change = SparseChange(torch.arange(4, dtype=torch.int32), share * torch.tensor([9.0, -9.0, 9.0, 9.0]), (4, 1))
        skill = Skill({"conv_out.bias": change}, {"conv_out.bias": 4}, "lab")
        alive.add(skill)
        return skill

    model, clip, vae = sockets["model"], sockets["clip"], sockets["vae"]
    tuned = backbone_of(with_skill(model, clip, localise(1.0))[0], clip, vae)
    how = replace(PRESETS["small"], draws=1, steps=1, side=64, batch=1)
    shares = [0.0, 0.01, 1.0]
    found = graft((model, clip, vae), tuned, localise, shares, ["a cat"], load_vision(), how, 0, lambda passes: None)
    assert seen == [0, 0, 0, 0, 0] and found.counts == (4, 4, 4)
    assert float(found.best.changes["conv_out.bias"].values[0]) == 9.0


def test_shares_are_checked():
    assert "percentages from 0 to 100" in GraftSkill.validate_inputs(shares="1, 200")
    assert "expected numbers" in GraftSkill.validate_inputs(shares="much")
    assert GraftSkill.validate_inputs(shares="0.1, 1", prompts="a cat") is True


def test_a_lora_is_slimmed_and_loads_again(call, sockets, with_lora, here):
    from concept_atelier.host.headless.lora_files import read_lora

    model = sockets["model"]
    made = call(SlimLora, model=model, tuned_model=with_lora, name="thin")
    assert made[0] == "thin.safetensors" and "rank 2 to 2" in str(made.ui.as_dict())
    again = model.with_patch(read_lora(here.find_model("loras", made[0]), model.unet, "lab").patch(1.0))
    wanted = difference(weights_of(model)[NAME], weights_of(with_lora)[NAME])
    found = difference(weights_of(model)[NAME], weights_of(again)[NAME])
    assert float((found - wanted).norm() / wanted.norm()) < 0.03
