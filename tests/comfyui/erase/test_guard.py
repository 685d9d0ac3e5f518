"""Guard Against Concepts on ComfyUI's own samplers, with small random-weight models."""

from functools import partial

import pytest
import torch

STRONG = {"irece": "start=0, present=-100, against=100, threshold=0.1", "adavd": "threshold=-1", "guidance": ""}


@pytest.fixture
def sample(sample):
    """Two pictures at once."""
    return partial(sample, batch=2)


@pytest.fixture
def guard(run):
    def go(parts, method, **changes):
        given = {"model": parts["model"], "clip": parts["clip"], "concepts": "cat", "method": method, **changes}
        return run("GuardAgainstConcepts", **given)[0]

    return go


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
@pytest.mark.parametrize("method", STRONG)
def test_any_sampler_draws_with_the_guard_and_the_model_stays_as_it_was(parts_of, guard, sample, family, method):
    parts = parts_of(family)
    plain = sample(parts)
    guarded = guard(parts, method, settings=STRONG[method])
    first = sample(parts, guarded)
    assert torch.isfinite(first).all() and not torch.allclose(first, plain, atol=1e-3)
    assert torch.equal(sample(parts, guarded), first)
    assert torch.equal(sample(parts), plain)
    for changes in ({"sampler_name": "dpmpp_2m"}, {"sampler_name": "euler_ancestral", "cfg": 1.0}):
        drawn = sample(parts, guarded, **changes)
        assert torch.isfinite(drawn).all() and not torch.allclose(drawn, sample(parts, **changes), atol=1e-3)


@pytest.mark.parametrize("method", STRONG)
def test_an_idle_guard_changes_nothing_and_strength_0_is_the_model_itself(parts_of, guard, sample, method):
    parts = parts_of("sd15")
    assert guard(parts, method, strength=0.0) is parts["model"]
    idle = guard(parts, method, settings="start=0.4, end=0.6")
    torch.testing.assert_close(sample(parts, idle), sample(parts), rtol=1e-6, atol=1e-6)


def test_a_noise_mask_is_refused_where_the_latent_moves(parts_of, guard, sample):
    parts = parts_of("sd15")
    inside = {"samples": torch.zeros(1, 4, 8, 12), "noise_mask": torch.ones(1, 64, 96)}
    with pytest.raises(ValueError, match="noise mask; sample without the mask, or choose adavd"):
        sample(parts, guard(parts, "irece", settings=STRONG["irece"]), latent_image=inside)
    assert torch.isfinite(sample(parts, guard(parts, "adavd"), latent_image=inside)).all()


@pytest.mark.parametrize("method", STRONG)
def test_a_cancelled_run_leaves_the_model_as_it_was(parts_of, guard, sample, method, monkeypatch):
    parts = parts_of("sd15")
    plain, guarded = sample(parts), guard(parts, method, settings=STRONG[method])
    import comfy.model_management as management

    calls = []

    def interrupt():
        calls.append(1)
        if len(calls) > 3:
            raise management.InterruptProcessingException

    with monkeypatch.context() as patched:
        patched.setattr(management, "throw_exception_if_processing_interrupted", interrupt)
        with pytest.raises(management.InterruptProcessingException):
            sample(parts, guarded, steps=20)
    assert torch.equal(sample(parts), plain)


def test_the_original_of_an_erased_model_is_asked_and_both_stay_as_they_were(parts_of, guard, sample, run):
    parts = parts_of("sd15")
    plain = sample(parts)
    erased = run("EraseConcepts", model=parts["model"], clip=parts["clip"], concepts="cat", damping=0.01)[0]
    before = sample(parts, erased)
    guarded = guard(
        {**parts, "model": erased},
        "irece",
        original=parts["model"],
        settings="start=0, present=-100, against=100, threshold=0.1",
    )
    assert not torch.allclose(sample(parts, guarded), before, atol=1e-3)
    assert torch.equal(sample(parts, erased), before) and torch.equal(sample(parts), plain)


def test_a_guard_that_finds_nothing_leaves_the_erased_model_to_draw(parts_of, guard, sample, run):
    """The original shares its weights with the erased model, and is asked at every step."""
    parts = parts_of("sd15")
    erased = run("EraseConcepts", model=parts["model"], clip=parts["clip"], concepts="cat", damping=0.01)[0]
    before = sample(parts, erased)
    assert not torch.allclose(before, sample(parts), atol=1e-3)
    nothing = {"settings": "start=0, present=1e9, against=100", "original": parts["model"]}
    assert torch.equal(sample(parts, guard({**parts, "model": erased}, "irece", **nothing)), before)


@pytest.mark.parametrize("method", ["irece", "guidance"])
def test_what_is_done_to_the_model_behind_the_guard_stays_in_force(parts_of, guard, sample, run, method):
    parts = parts_of("sd15")
    weak = guard(parts, method, strength=1e-9)
    both = run("EraseConcepts", model=weak, clip=parts["clip"], concepts="dog", damping=0.01)[0]
    alone = run("EraseConcepts", model=parts["model"], clip=parts["clip"], concepts="dog", damping=0.01)[0]
    expected = sample(parts, alone)
    assert not torch.allclose(expected, sample(parts), atol=1e-3)
    torch.testing.assert_close(sample(parts, both), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["uni_pc", "uni_pc_bh2"])
def test_samplers_that_do_not_see_a_move_are_refused_where_the_latent_moves(parts_of, guard, sample, sampler):
    parts = parts_of("sd15")
    with pytest.raises(ValueError, match="sample with another one .*, or choose adavd"):
        sample(parts, guard(parts, "irece", settings=STRONG["irece"]), sampler_name=sampler)
    assert torch.isfinite(sample(parts, guard(parts, "adavd"), sampler_name=sampler)).all()
