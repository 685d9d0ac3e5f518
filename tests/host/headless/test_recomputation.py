"""Learning with blocks that are computed again: the same tokens, less memory, nothing left behind."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attention.probabilities import head_mean
from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.learn.registry import METHODS
from concept_atelier.core.masks.from_masks import concepts_from_masks
from concept_atelier.core.types import LowRank
from concept_atelier.host.headless.backbone import DiffusersBackbone
from concept_atelier.host.shared.recomputation import Recomputation

LATENT = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(0))
TIMESTEP = torch.tensor([5, 800])


@pytest.fixture
def backbone(lab_model, lab_clip, lab_vae):
    return DiffusersBackbone(lab_model, lab_clip, lab_vae)


@pytest.fixture
def changes(backbone, generator):
    names = {(one.kind, one.role): one for one in backbone.attention_weights()}
    return {
        one.name: LowRank(
            torch.randn(one.shape[0], 2, generator=generator).mul_(0.1).requires_grad_(),
            torch.randn(2, one.shape[1], generator=generator).requires_grad_(),
        )
        for one in names.values()
    }


def step(backbone, choice, changes):
    """A loss over noise and attention; its gradients with respect to text and changes, and the calls of taps."""
    backbone.recomputation.choice = choice
    context = torch.randn(2, 77, 192, generator=torch.Generator().manual_seed(1)).requires_grad_()
    calls, maps = [], []

    def tap(call):
        calls.append(call.site.name)
        maps.append(head_mean(call.query, call.key, call.scale, 64).square().mean())

    outside = []
    with backbone.tap_attention(lambda call: outside.append(call.site.name)):
        with backbone.tap_attention(tap), backbone.adapted(changes):
            noise = backbone.predict_noise(LATENT, TIMESTEP, Conditioning(context))
        loss = noise.square().mean() + torch.stack(maps).sum()
        inputs = [context, *(half for one in changes.values() for half in (one.up, one.down))]
        gradients = torch.autograd.grad(loss, inputs)  # a tap is still listening
    assert calls == outside == [site.name for site in backbone.attention_sites()]
    return noise.detach(), gradients


def test_gradients_are_the_same_and_taps_are_called_once(backbone, changes):
    noise, gradients = step(backbone, "off", changes)
    again, others = step(backbone, "on", changes)
    assert again.equal(noise)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-9)
    assert not any("forward" in vars(module) for module in backbone.model.unet.modules())


def saved(backbone, choice):
    """Bytes that autograd keeps after a pass."""
    backbone.recomputation.choice, sizes = choice, {}
    weights = {one.untyped_storage().data_ptr() for one in backbone.model.unet.parameters()}

    def note(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    context = torch.zeros(2, 77, 192, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        noise = backbone.predict_noise(LATENT, TIMESTEP, Conditioning(context))
    del noise
    return sum(size for pointer, size in sizes.items() if pointer not in weights)


def test_less_is_kept_and_the_estimate_says_how_much(backbone):
    kept = saved(backbone, "off")
    estimate = backbone.recomputation.kept(
        LATENT,
        lambda small: backbone.predict_noise(
            small, TIMESTEP[:1], Conditioning(torch.zeros(1, 77, 192).requires_grad_())
        ),
        backbone.model.unet.parameters(),
    )
    assert 0.7 * kept < estimate < 1.3 * kept


@pytest.mark.parametrize("free, on", [(1e12, False), (1e5, True), (None, False)])
def test_automatic_goes_by_the_memory_that_is_free(backbone, monkeypatch, free, on):
    monkeypatch.setattr("concept_atelier.host.headless.backbone.free_memory", lambda device: free)
    backbone.recomputation.choice = "automatic"
    asked = []
    run = type(backbone.recomputation).run
    monkeypatch.setattr(
        type(backbone.recomputation), "run", lambda self, *args, **kw: (asked.append(1), run(self, *args, **kw))[1]
    )
    calls = []
    with backbone.tap_attention(lambda call: calls.append(len(call.query))):
        backbone.predict_noise(LATENT, TIMESTEP, Conditioning(torch.zeros(2, 77, 192, requires_grad=True)))
    assert bool(asked) == on
    assert calls == [2] * len(backbone.attention_sites())  # of probes that no tap sees


def test_copies_of_weights_count_and_weights_that_are_read_as_they_are_do_not():
    weight = torch.randn(512, 512)

    def probe(small, convert):
        rows = small.flatten(1).mean() + torch.zeros(1, 512, requires_grad=True)
        return rows @ (weight.double().float() if convert else weight)

    kept = [
        Recomputation().kept(torch.zeros(1, 4, 8, 8), lambda small, how=how: probe(small, how), [weight])
        for how in (True, False)
    ]
    assert kept[0] == pytest.approx(4 * 512 * 512, rel=0.05) and kept[1] < 0.01 * kept[0]


def test_without_gradients_nothing_is_computed_twice(backbone):
    backbone.recomputation.choice = "on"
    with torch.no_grad():
        assert not backbone.recomputation.wanted(LATENT, lambda small: small, lambda: 0.0, ())


@pytest.mark.parametrize(
    ("choice", "free", "wanted"),
    [("automatic", 50.0, True), ("automatic", 200.0, False), ("automatic", None, False), ("on", 200.0, True)]
    + [("off", 50.0, False)],
)
def test_what_does_not_fit_into_the_free_memory_is_computed_twice(choice, free, wanted):
    recomputation = Recomputation()
    recomputation.choice = choice
    assert recomputation.wanted_for(lambda: 100.0, lambda: free) is wanted
    assert recomputation.wanted_for(lambda: 50.0, lambda: free, 0.5) is wanted


def test_an_error_inside_a_block_leaves_nothing_behind(backbone):
    backbone.recomputation.choice = "on"
    context = torch.zeros(2, 77, 192, requires_grad=True)

    def fail(call):
        raise InterruptedError

    with pytest.raises(InterruptedError), backbone.tap_attention(fail):
        backbone.predict_noise(LATENT, TIMESTEP, Conditioning(context))
    assert not any("forward" in vars(module) for module in backbone.model.unet.modules())
    calls = []
    with backbone.tap_attention(lambda call: calls.append(1)):
        backbone.predict_noise(LATENT, TIMESTEP, Conditioning(context)).sum().backward()
    assert len(calls) == len(backbone.attention_sites())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_the_same_tokens(backbone, method):
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 8:32, 8:32] = masks[1, 36:60, 30:60] = True
    concepts = concepts_from_masks(masks, (64, 64), (8, 8), names=["1", "2"])
    settings = METHODS[method].preset("small")
    fewer = {"steps": 2, "fit_steps": 2, "class_weight": 0.1, "prior": 1, "prior_steps": 1}
    settings = replace(settings, **{key: value for key, value in fewer.items() if hasattr(settings, key)})
    found = []
    for choice in ("off", "on"):
        backbone.recomputation.choice = choice
        found.append(
            METHODS[method].learn(
                backbone, picture, concepts, settings, words={"1": "cat", "2": "dog"}, classes={"1": "cat", "2": "dog"}
            )
        )
    plain, other = found
    for name in plain.vectors:
        for encoder, rows in plain.vectors[name].items():
            torch.testing.assert_close(other.vectors[name][encoder], rows, rtol=0, atol=1e-6)
    for name, change in plain.adapter.items():
        torch.testing.assert_close(other.adapter[name].dense(), change.dense(), rtol=0, atol=1e-6)
    assert other.metadata["passes"] == plain.metadata["passes"]
