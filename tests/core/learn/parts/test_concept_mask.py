"""Attention to a token is kept inside its mask."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.methods.conceptexpress import METHOD
from concept_atelier.core.learn.parts.concept_mask import CONCEPT, CONTEXT, mask_loss
from concept_atelier.core.learn.registry import METHODS

QUICK = replace(METHOD.preset("small"), steps=1, attention_weight=0.0)
LEFT = torch.tensor([[1.0, 0.0], [1.0, 0.0]])


def test_known_values():
    assert float(mask_loss(LEFT, LEFT)) == pytest.approx(0, abs=2e-3)
    half = torch.full((2, 2), 0.5)
    expected = (CONTEXT + CONCEPT) * 0.5 * torch.tensor(2.0).log()  # half of the cells pay log 2 outside, half inside
    assert float(mask_loss(half, LEFT)) == pytest.approx(float(expected), rel=1e-3)
    assert float(mask_loss(1 - LEFT, LEFT)) > float(mask_loss(half, LEFT))
    assert float(mask_loss(half, torch.ones(2, 2))) == pytest.approx(CONCEPT * 0.6931, rel=1e-3)


def test_relevance_grows_inside_and_shrinks_outside():
    relevance = torch.full((2, 2), 0.4, requires_grad=True)
    (slope,) = torch.autograd.grad(mask_loss(relevance, LEFT), relevance)
    assert bool((slope[:, 0] < 0).all() and (slope[:, 1] > 0).all())


def test_gradients_are_those_of_finite_differences(generator):
    relevance = (0.1 + 0.8 * torch.rand(3, 4, generator=generator)).double().requires_grad_()
    mask = torch.rand(3, 4, generator=generator).double()
    assert torch.autograd.gradcheck(lambda given: mask_loss(given, mask), (relevance,))


def test_it_takes_one_more_pass_an_update_and_none_at_0(lab_backbone, picture, concepts):
    free = METHOD.learn(lab_backbone, picture, concepts, QUICK)
    held = METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, mask_weight=0.1))
    assert int(held.metadata["passes"]) == int(free.metadata["passes"]) + 1
    assert not all(torch.equal(free.vectors[name]["clip_l"], held.vectors[name]["clip_l"]) for name in free.names)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "conceptexpress"])
def test_every_learner_takes_it(lab_backbone, picture, concepts, name):
    method = METHODS[name]
    quick = {"steps": 1, "mask_weight": 0.1}
    preset = method.preset("small")
    quick |= {"rank": 1, "prior": 0} if hasattr(preset, "rank") else {}
    quick |= {"fit_steps": 1} if hasattr(preset, "fit_steps") else {}
    classes = {name: name for name in concepts.names}
    free, held = (
        method.learn(
            lab_backbone, picture, concepts, replace(preset, **{**quick, "mask_weight": weight}), classes=classes
        )
        for weight in (0.0, 0.1)
    )
    assert float(held.losses.sum()) > float(free.losses.sum()), "the loss is not added"
    more = int(held.metadata["passes"]) - int(free.metadata["passes"])
    assert more == 1, "it is added to the updates that move tokens, and to no search"


def test_a_weight_below_0_is_refused():
    with pytest.raises(ValueError, match="mask_weight must be 0 or more"):
        replace(QUICK, mask_weight=-0.5)
