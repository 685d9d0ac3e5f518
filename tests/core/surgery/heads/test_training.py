"""Training offsets of heads: what it must find, one seed, cancel and resume, over the lab model at random weights."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.surgery.begun import ScoutSettings
from concept_atelier.core.surgery.heads.denoising_loss import Captioned
from concept_atelier.core.surgery.heads.offset_settings import OffsetSettings
from concept_atelier.core.surgery.heads.offsets import HeadOffsets, as_skill, scout_denoiser
from concept_atelier.core.surgery.heads.training import train_offsets
from concept_atelier.core.surgery.skill import TEXT

QUICK = OffsetSettings(heads=3, choosing=2, steps=2, batch=2, side=64)


class Store:
    """Keeps states in memory."""

    every = 1

    def __init__(self):
        self.states = {}

    def load(self, fingerprint):
        return self.states.get(fingerprint)

    def save(self, fingerprint, state):
        self.states[fingerprint] = dict(state)

    def discard(self, fingerprint):
        self.states.pop(fingerprint, None)

    def set_aside(self, fingerprint, why):
        raise AssertionError(why)


@pytest.fixture(scope="module")
def pictures():
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    return Captioned(latents, ["a cat", "a cat", "a dog"])


def same(one, other):
    return set(one.offsets) == set(other.offsets) and all(
        torch.equal(one.offsets[name], other.offsets[name]) for name in one.offsets
    )


@pytest.mark.parametrize(
    ("where", "of_text"), [("denoiser", {False}), ("text encoder", {True}), ("both", {True, False})]
)
def test_as_many_heads_as_asked_get_an_offset_where_asked(lab_backbone, pictures, where, of_text):
    found = train_offsets(lab_backbone, "cat", pictures, replace(QUICK, heads=500), 0, where)
    assert {name.startswith(TEXT) for name in found.offsets} == of_text
    few = train_offsets(lab_backbone, "cat", pictures, QUICK, 0, where)
    moved = {(name, head) for name, of in few.offsets.items() for head, row in enumerate(of) if bool(row.any())}
    assert moved == set(few.best(3)) and few.unit.startswith("root mean square")


def test_offsets_lower_the_loss_and_are_what_a_patch_adds(lab_model, lab_clip, lab_backbone, pictures):
    """Trained on one picture at one prompt, the model with the patch denoises it better than the model itself."""
    from concept_atelier.host.adapters import backbone_of, weights_of, with_skill

    one = Captioned(pictures.latents[:1], ["a cat"])
    how = OffsetSettings(heads=99, choosing=1, steps=30, rate=0.1, batch=4, side=64)
    found = train_offsets(lab_backbone, "cat", one, how, 0, "denoiser")
    skill = as_skill(found, 99, 1.0, weights_of(lab_model))
    changed = backbone_of(with_skill(lab_model, None, skill)[0], lab_clip)
    noise = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(9))
    times = torch.tensor([100, 300, 600, 900])
    text, losses = lab_backbone.encode_text(["a cat"] * 4), []
    for model in (lab_backbone, changed):
        clean = one.latents.expand(4, -1, -1, -1)
        noisy = model.schedule.add_noise(clean, noise, times)
        with torch.no_grad():
            predicted = model.predict_target(noisy, times, text)
        losses.append(float((predicted - model.schedule.target(clean, noise)).square().mean()))
    assert losses[1] < 0.95 * losses[0]


@pytest.mark.parametrize("cancelled_at", [1, 3])
def test_a_cancelled_training_goes_on_and_ends_as_if_it_had_not_been(lab_backbone, pictures, cancelled_at):
    whole, store = train_offsets(lab_backbone, "cat", pictures, QUICK, 5, "both"), Store()

    def cancel(done, total):
        assert total == 4
        if done == cancelled_at:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_offsets(lab_backbone, "cat", pictures, QUICK, 5, "both", None, store, cancel)
    assert len(store.states) == 1
    seen = []
    with torch.inference_mode():
        resumed = train_offsets(
            lab_backbone, "cat", pictures, QUICK, 5, "both", None, store, lambda done, total: seen.append(done)
        )
    assert seen == list(range(cancelled_at + 1, 5)) and same(resumed, whole) and not store.states
    assert not same(whole, train_offsets(lab_backbone, "cat", pictures, QUICK, 6, "both"))


def test_scouted_heads_are_trained_without_choosing(lab_backbone, pictures):
    scouted = scout_denoiser(lab_backbone, "cat", ["dog", "house"], ScoutSettings(draws=1, steps=2, side=64), 0)
    steps = []
    found = train_offsets(
        lab_backbone, "cat", pictures, QUICK, 0, scouted=scouted, on_step=lambda done, total: steps.append(total)
    )
    moved = {(name, head) for name, of in found.offsets.items() for head, row in enumerate(of) if bool(row.any())}
    assert steps == [2, 2] and moved == set(scouted.best(3)) and found.unit == scouted.unit
    foreign = HeadOffsets("cat", {"other": torch.zeros(2, 4)}, {"other": torch.ones(2)}, "lab")
    with pytest.raises(ValueError, match="another model"):
        train_offsets(lab_backbone, "cat", pictures, QUICK, 0, scouted=foreign)
