"""Recorded passes: trusted only where their gradients are those of the eager pass."""

import pytest
import torch

from concept_atelier.lab.model.modules import TEXT_WIDTH, build_unet
from concept_atelier.training.graphs import EagerDenoise, gradient_gap, random_inputs, recorded

SHAPE = (2, 4, 4, 4)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return build_unet()


def test_a_pass_that_is_off_by_a_factor_has_that_gap(unet):
    eager, example = EagerDenoise(unet), random_inputs(unet, SHAPE, TEXT_WIDTH)
    assert gradient_gap(unet, eager, eager, example, bfloat16=False) == 0

    def wrong(*given):
        predicted = eager(*given)
        return predicted + 0.5 * (predicted - given[0])  # the loss is 2.25 times as high, and so are its gradients

    assert gradient_gap(unet, eager, wrong, example, bfloat16=False) == pytest.approx(1.25, rel=1e-3)


@pytest.mark.parametrize("kind", ["fails", "is wrong"])
def test_a_graph_that_fails_or_is_wrong_is_not_used(unet, monkeypatch, kind):
    def graphed(module, example, allow_unused_input):
        if kind == "fails":
            raise RuntimeError("operation not permitted when stream is capturing")
        return lambda *given: module(*given) * 2

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert isinstance(recorded(unet, [SHAPE], TEXT_WIDTH, False)[0], EagerDenoise)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_passes_are_recorded():
    unet = build_unet().cuda().to(memory_format=torch.channels_last)
    denoise = recorded(unet, [(8, 4, 16, 16)], TEXT_WIDTH, True)[0]
    assert denoise.forward.__qualname__ != "EagerDenoise.forward"
