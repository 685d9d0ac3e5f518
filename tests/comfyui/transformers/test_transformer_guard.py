"""Guard Against Concepts on diffusion transformers of ComfyUI's own classes, tiny and at random weights."""

import pytest
import torch

FAMILIES = ("flux", "flux2", "chroma", "z_image", "krea2", "qwen_image", "sd3")
STRONG = {
    "guidance": "share=false",
    "dve": "only_towards=false",
    "irece": "start=0, end=1, present=-100, against=100, threshold=0.1",
}


@pytest.fixture
def sample(sample_text, clip_of):
    return lambda family, model: sample_text(family, model, clip_of(family), "a photo of a cat")


@pytest.fixture
def guard(run, model_of, clip_of):
    def go(family, method, **changes):
        given = {"model": model_of(family), "clip": clip_of(family), "concepts": "cat", "method": method, **changes}
        return run("GuardAgainstConcepts", **given)[0]

    return go


@pytest.mark.parametrize("method", STRONG)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_guarded_transformer_draws_otherwise_and_the_model_stays_as_it_was(guard, sample, model_of, family, method):
    model = model_of(family)
    plain = sample(family, model)  # first, since an erasure of another test may still be in memory
    state = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    guarded = guard(family, method, settings=STRONG[method])
    first = sample(family, guarded)
    assert torch.isfinite(first).all() and not torch.allclose(first, plain, atol=1e-4)
    assert torch.equal(sample(family, guarded), first) and torch.equal(sample(family, model), plain)
    assert guard(family, method, strength=0.0) is model
    assert all(torch.equal(weight, state[name]) for name, weight in model.model.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_guard_of_cross_attention_is_refused(guard, family):
    with pytest.raises(ValueError, match="which this model .* does not have; use another method"):
        guard(family, "adavd")


@pytest.mark.parametrize("method", [*STRONG, "adavd"])
def test_a_model_that_is_not_asked_about_single_texts_is_refused(guard, method):
    with pytest.raises(ValueError, match=r"\(anima\) does not take; use Erase Concepts"):
        guard("anima", method)
