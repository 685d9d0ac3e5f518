"""Guard Against Concepts: what any sampler draws with it, and that nothing of it stays."""

import pytest
import torch

from concept_atelier.core.erase.guards.registry import METHODS
from concept_atelier.host.workflow.stock import EmptyLatentImage, KSampler
from concept_atelier.nodes import GuardAgainstConcepts

ON_UNETS = [name for name in METHODS if name != "dve"]
STRONG = {
    "irece": "start=0, present=-100, against=100, threshold=0.1",
    "adavd": "threshold=-1",
    "guidance": "",
    "dve": "",
}


@pytest.fixture
def guard(call, sockets):
    def go(parts=sockets, **changes):
        given = {"model": parts["model"], "clip": parts["clip"], "concepts": "cat", **changes}
        return call(GuardAgainstConcepts, **given)[0]

    return go


@pytest.mark.parametrize("method", ON_UNETS)
def test_it_changes_what_is_drawn_and_the_model_stays_as_it_was(guard, draw, hooks_of, method):
    plain = draw(batch=2)["samples"]
    guarded = guard(method=method, settings=STRONG[method])
    first = draw(guarded, batch=2)["samples"]
    assert torch.isfinite(first).all() and not torch.allclose(first, plain, atol=1e-3)
    assert torch.equal(draw(guarded, batch=2)["samples"], first)
    assert torch.equal(draw(batch=2)["samples"], plain) and hooks_of() == 0


@pytest.mark.parametrize("method", ON_UNETS)
def test_strength_0_is_the_model_itself_and_a_guard_that_does_not_act_changes_nothing(guard, draw, sockets, method):
    assert guard(method=method, strength=0.0) is sockets["model"]
    idle = guard(method=method, settings="start=0.4, end=0.6")  # of two steps neither
    assert torch.equal(draw(idle)["samples"], draw()["samples"])


@pytest.mark.parametrize("method", ON_UNETS)
@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral"])
def test_it_works_without_guidance_and_with_noise_of_the_sampler(call, guard, encode, method, sampler):
    empty = call(EmptyLatentImage, width=96, height=64, batch_size=2)[0]
    given = {"positive": encode("a cat"), "negative": encode(""), "latent_image": empty, "seed": 1, "steps": 2}
    model = guard(method=method, settings=STRONG[method], concepts="cat, dog")
    drawn = call(KSampler, model=model, cfg=1.0, sampler_name=sampler, scheduler="normal", **given)[0]["samples"]
    assert drawn.shape == (2, 4, 8, 12) and torch.isfinite(drawn).all()


@pytest.mark.parametrize("method", ["adavd", "guidance"])
def test_below_0_the_concept_is_led_the_other_way(guard, draw, method):
    given = {"method": method, "settings": STRONG[method]}
    plain, less, more = (draw(guard(strength=strength, **given))["samples"] for strength in (0.0, 0.1, -0.1))
    assert float(((less - plain) * (more - plain)).sum()) < 0


def test_a_guard_that_draws_noise_takes_no_strength_below_0(guard):
    with pytest.raises(ValueError, match="IRECE cannot strengthen a concept: its strength must be 0 or more, got -1"):
        guard(method="irece", strength=-1.0)


def test_on_a_flow_the_velocity_loses_the_concept(call, guard, transformer):
    from concept_atelier.host.workflow.stock import CLIPTextEncode

    empty = call(EmptyLatentImage, width=64, height=64, batch_size=1)[0]
    texts = [call(CLIPTextEncode, clip=transformer["clip"], text=text)[0] for text in ("a cat", "")]
    given = {"positive": texts[0], "negative": texts[1], "latent_image": empty, "seed": 1, "steps": 2, "cfg": 1.0}
    given |= {"sampler_name": "euler", "scheduler": "normal"}
    plain = call(KSampler, model=transformer["model"], **given)[0]["samples"]
    for method in ("dve", "guidance"):
        drawn = call(KSampler, model=guard(transformer, method=method, preset="paper"), **given)[0]["samples"]
        assert torch.isfinite(drawn).all() and not torch.allclose(drawn, plain, atol=1e-4)


def test_an_anchor_is_drawn_instead_of_nothing(guard, draw):
    nothing, dog = (draw(guard(anchors=anchors))["samples"] for anchors in ("", "dog"))
    assert not torch.allclose(dog, nothing, atol=1e-3)


@pytest.mark.parametrize("method", ON_UNETS)
def test_what_shall_stay_changes_what_is_taken_out(guard, draw, method):
    given = {"method": method, "settings": STRONG[method]}
    plain, kept = (draw(guard(preserve=preserve, **given))["samples"] for preserve in ("", "dog, car"))
    assert torch.isfinite(kept).all() and not torch.allclose(kept, plain, atol=1e-4)


@pytest.mark.parametrize("method", ["guidance", "irece"])
def test_lists_that_contradict_themselves_are_refused(guard, method):
    with pytest.raises(ValueError, match="to be erased and to be preserved"):
        guard(method=method, preserve="cat")


def test_models_that_a_method_cannot_guard_are_refused_by_name(guard, transformer):
    with pytest.raises(ValueError, match="DVE guards flow models alone"):
        guard(method="dve")
    with pytest.raises(ValueError, match="which this model"):
        guard(transformer, method="adavd")
    with pytest.raises(ValueError, match="has no setting"):
        guard(method="irece", settings="wrong=1")
