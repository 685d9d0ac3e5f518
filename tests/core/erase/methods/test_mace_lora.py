"""MACE's LoRAs: timesteps, loss and fusion are those of its equations, and the attention goes off the concept."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import AttentionCall, AttentionSite, KeyValueWeight
from concept_atelier.core.erase.methods.mace import refine
from concept_atelier.core.erase.methods.mace_lora import (
    METHOD,
    MaceLoraSettings,
    attended,
    attention_loss,
    fuse_trained,
    importance,
    masks_of,
)
from concept_atelier.core.erase.parts.gather import Steps
from concept_atelier.core.erase.parts.pictures import TaskPictures
from concept_atelier.core.erase.parts.task import EraseTask
from concept_atelier.core.types import LowRank

from .dense import kept_of, ridge
from .test_mace import before, parts

QUICK = replace(
    METHOD.preset("small"), templates=("{}", "a photo of {}"), steps=2, batch=1, side=64, sampling_steps=2, drawn=1
)
PAIRS = (("cat", "dog"), ("rocket", "crab"))


@pytest.fixture
def task(lab_backbone):
    asked = {"damping": 2.0, "preserve_scale": 0.3, "preserve_unconditional": False}
    return EraseTask(lab_backbone, PAIRS, ("bell", "boat"), replace(QUICK, **asked))


def test_timesteps_are_drawn_where_the_paper_draws_them():
    found = importance(MaceLoraSettings(), 1000)
    time = torch.arange(1000)
    wanted = torch.sigmoid(0.05 * (time - 200.0)) - torch.sigmoid(0.05 * (time - 400.0))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert importance(MaceLoraSettings(sharpness=0.0), 10).equal(torch.ones(10))


def test_the_loss_of_a_layer_is_the_norm_over_cells_and_tokens():
    """Attention is even, so that every one of 5 tokens has a fifth of every cell."""
    site = AttentionSite("one", "cross", "mid", 3, 1)
    call = AttentionCall(site, torch.randn(2, 3, 4, 8), torch.zeros(2, 3, 5, 8), 1.0, (2, 2), (True, True))
    masks = torch.tensor([[[True, False], [False, False]], [[True, True], [True, True]]])
    wanted = torch.tensor([3 * 1 * 2 * 0.04, 3 * 4 * 2 * 0.04]).sqrt().mean()
    torch.testing.assert_close(attended(call, masks, [1, 4]), wanted)


def test_the_fusion_equals_the_third_stage_with_whole_matrices(lab_backbone, task, generator):
    closed = task.settings.closed
    asked = replace(task, settings=closed)
    stage = refine(asked, Steps(asked))
    weights = {one.name: one.weight.double() for one in lab_backbone.key_value_weights()}
    trained = [
        {
            name: LowRank(*(torch.randn(size, generator=generator) * 0.1 for size in ((len(w), 1), (1, w.shape[1]))))
            for name, w in weights.items()
        }
        for _ in PAIRS
    ]
    found = fuse_trained(task, stage, trained)
    rows = [parts(lab_backbone, closed, *pair) for pair in PAIRS]
    kept = torch.cat([0.3**0.5 * kept_of(lab_backbone, closed, task.preserve), *[before(lab_backbone, closed)] * 2], 1)
    f, g = (torch.cat([part[i] for part in rows], 1) for i in (0, 1))
    every = torch.cat([part[4] for part in rows], 1)
    for name, w0 in weights.items():
        first = ridge(w0, f, w0 @ g, kept, 2.0)
        read = [(first + change[name].dense().double()) @ part[4] for change, part in zip(trained, rows, strict=True)]
        a = 2.0 * torch.eye(192, dtype=torch.float64) + every @ every.T + kept @ kept.T
        wanted = (2.0 * first + torch.cat(read, 1) @ every.T + w0 @ kept @ kept.T) @ torch.linalg.inv(a)
        assert (w0 + found[name].dense().double() - wanted).norm() < 1e-4 * (wanted - w0).norm()


def test_training_takes_attention_off_the_concept(lab_backbone):
    settings = replace(QUICK, steps=20, whole=True, sharpness=0.0, rate=3e-2)
    notes = METHOD.erase(lab_backbone, ["cat"], "dog", (), settings).metadata
    assert notes["rank"] == "1" and int(notes["closed_form_rank"]) > 1
    assert float(notes["loss_last"]) < 0.95 * float(notes["loss_first"])


def test_each_concept_is_trained_on_its_own_pictures_alone(lab_backbone, monkeypatch):
    seen = []

    def watched(student, visit, masks):
        seen.append(visit.concepts.tolist())
        return attention_loss(student, visit, masks)

    monkeypatch.setattr("concept_atelier.core.erase.methods.mace_lora.attention_loss", watched)
    METHOD.erase(lab_backbone, ["cat", "rocket"], "dog", (), replace(QUICK, batch=4, drawn=2, whole=True))
    assert seen == [[0, 0]] * QUICK.steps + [[1, 1]] * QUICK.steps


def test_a_concept_that_is_not_found_has_the_whole_picture(task, generator, monkeypatch):
    pictures = TaskPictures(torch.randn(2, 4, 8, 8, generator=generator), (0, 1))

    class Found:
        def __init__(self, rows):
            self.cells = torch.zeros(1, 8, 8, dtype=torch.bool)
            self.cells[0, :rows] = True

    there = Found(3)
    answers = iter((there, Found(0)))
    monkeypatch.setattr("concept_atelier.core.erase.methods.mace_lora.find_region", lambda *_: next(answers))
    masks = masks_of(task, pictures, generator)
    assert masks[0].equal(there.cells[0]) and bool(masks[1].all())
    assert bool(masks_of(replace(task, settings=replace(QUICK, whole=True)), pictures, generator).all())


def test_a_model_without_cross_attention_is_refused(lab_backbone):
    class OneEntry:
        def __getattr__(self, attribute):
            return getattr(lab_backbone, attribute)

        def key_value_weights(self):
            return (KeyValueWeight("context_embedder.weight", "text", torch.ones(300, 192)),)

    with pytest.raises(ValueError, match="keys and values of cross-attention"):
        METHOD.erase(OneEntry(), ["cat"], "dog", (), QUICK)


@pytest.mark.parametrize("wrong", [{"layers": "all"}, {"from_time": 0.5}, {"damping": 0.0}, {"drawn": 0}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MaceLoraSettings(**wrong)


@pytest.mark.parametrize(("layers", "roles"), [("cross_value", {"value"}), ("cross_key_value", {"key", "value"})])
def test_only_the_chosen_weights_change(lab_backbone, layers, roles):
    changes = METHOD.erase(lab_backbone, ["cat"], "dog", (), replace(QUICK, layers=layers)).factors
    of_name = {one.name: one.role for one in lab_backbone.key_value_weights()}
    assert {of_name[name] for name in changes} == roles
