"""Calibrated localising on a model of one weight, of which half the inputs are always 0."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.surgery.calibration import CalibrationSettings, Examples, calibrate, passes_of
from concept_atelier.core.surgery.sparse import SparseChange

SIZE = (4, 6)
HOW = CalibrationSettings(steps=120, batch=4, levels=2)


class OneWeight:
    """Predicts ``W @ text`` whatever the noise, and should predict the clean latent."""

    schedule = SimpleNamespace(
        steps=10, add_noise=lambda clean, noise, times: clean + noise, target=lambda clean, noise: clean
    )

    def __init__(self):
        self.weight, self.changes = torch.zeros(SIZE), []

    @contextmanager
    def adapted(self, changes):
        self.changes.append(changes)
        yield
        self.changes.pop()

    def predict_target(self, noisy, times, text):
        weight = self.weight + sum(one.dense() for changes in self.changes for one in changes.values())
        return (text.context[:, 0] @ weight.T)[..., None, None].expand_as(noisy)


@pytest.fixture
def tuned(generator):
    """What the fine-tune changed: little where it matters, more where the inputs are 0."""
    change = torch.full(SIZE, 1.0)
    change[:, 3:] = 2.0
    return change


@pytest.fixture
def examples(tuned):
    rows = torch.randn(8, 1, SIZE[1], generator=torch.Generator().manual_seed(1))
    rows[..., 3:] = 0
    latents = (rows[:, 0] @ tuned.T)[..., None, None].expand(-1, -1, 2, 2)
    return Examples(latents.clone(), [Conditioning(row[None]) for row in rows], list(range(8)))


def change_at(tuned, where):
    index = where.flatten().nonzero()[:, 0].to(torch.int32)
    return {"w": SparseChange(index, tuned.flatten()[index.long()], SIZE)}


@pytest.fixture
def whole(tuned):
    return change_at(tuned, torch.ones(SIZE, dtype=torch.bool))


@pytest.fixture
def largest(tuned):
    return change_at(tuned, tuned > 1.5)


def test_what_the_pictures_need_is_chosen_in_place_of_what_moved_most(largest, whole, examples):
    passes = []
    found = calibrate(OneWeight(), largest, whole, whole, examples, HOW, 0, passes.append)
    expected = torch.zeros(SIZE)
    expected[:, :3] = 1
    assert torch.equal(found.changes["w"].dense(), expected)
    assert found.before == pytest.approx(0, abs=1e-6) and found.after == pytest.approx(1, abs=1e-6)
    assert found.counts == (12, 12) and sum(passes) == passes_of(8, HOW)


def test_numbers_that_bring_nothing_stay_where_masks_are_only_made_binary(largest, whole, examples):
    found = calibrate(OneWeight(), largest, whole, whole, examples, replace(HOW, aim="binarise"), 0)
    assert found.after == pytest.approx(1, abs=1e-6) and found.counts == (12, 24)


class ByLevel(OneWeight):
    """Its first inputs answer where there is little noise; the others where there is much, and a tenth as loudly."""

    def predict_target(self, noisy, times, text):
        weight = self.weight + sum(one.dense() for changes in self.changes for one in changes.values())
        quiet, halves = (times >= 5)[:, None], torch.arange(SIZE[1]) < 3
        rows = text.context[:, 0] * torch.where(quiet, 0.1 * ~halves, 1.0 * halves)
        return (rows @ weight.T)[..., None, None].expand_as(noisy)


@pytest.mark.parametrize(("goal", "all_kept"), [("pictures", False), ("fine-tune", True)])
def test_what_acts_where_there_is_much_noise_is_kept_for_the_fine_tune_alone(goal, all_kept):
    tuned = torch.ones(SIZE)
    inputs = torch.randn(8, SIZE[1], generator=torch.Generator().manual_seed(1))
    rows = 8**0.5 * torch.linalg.qr(inputs)[0][:, None]  # (8, 1, 6), inputs that do not go together
    latents = (rows[:, 0, :3] @ tuned[:, :3].T)[..., None, None].expand(-1, -1, 2, 2).clone()
    shown = Examples(latents, [Conditioning(row[None]) for row in rows], list(range(8)))
    every = change_at(tuned, tuned > 0)
    found = calibrate(ByLevel(), every, every, every, shown, replace(HOW, goal=goal, levels=4), 0)
    kept = found.changes["w"].dense()
    assert int(kept[:, :3].sum()) == 12 and (int(kept[:, 3:].sum()) == 12) == all_kept


def test_the_same_seed_gives_the_same_mask_under_inference_mode_too(largest, whole, examples):
    one = calibrate(OneWeight(), largest, whole, whole, examples, HOW, 3)
    with torch.inference_mode():
        other = calibrate(OneWeight(), largest, whole, whole, examples, HOW, 3)
    assert torch.equal(one.changes["w"].index, other.changes["w"].index)


def test_pictures_that_show_nothing_of_the_skill_are_refused(largest, whole, examples):
    nothing = Examples(torch.zeros_like(examples.latents), examples.texts, examples.prompts)
    with pytest.raises(ValueError, match="no better than the model"):
        calibrate(OneWeight(), largest, whole, whole, nothing, HOW, 0)


def test_settings_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="wider must be 1 or more"):
        CalibrationSettings(wider=0.5)
