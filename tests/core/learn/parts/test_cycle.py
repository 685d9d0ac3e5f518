"""A token is redrawn from its own region."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.methods.conceptexpress import METHOD
from concept_atelier.core.learn.parts.cycle import cycle_error
from concept_atelier.core.learn.registry import METHODS

QUICK = replace(METHOD.preset("small"), steps=1, attention_weight=0.0)


def test_a_prediction_is_the_tokens_inside_its_region_and_the_others_elsewhere():
    target, by_token, without = torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2), torch.full((1, 4, 2, 2), 3.0)
    left = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert float(cycle_error(target, by_token, without, left)) == (1 + 9) / 2


def test_a_region_grows_where_the_token_explains_more_and_shrinks_where_it_explains_less():
    target, without = torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)
    by_token = torch.tensor([[[[0.5, 2.0]]]])
    region = torch.full((1, 2), 0.5, requires_grad=True)
    (slope,) = torch.autograd.grad(cycle_error(target, by_token, without, region), region)
    assert slope[0, 0] < 0 < slope[0, 1]


def test_it_takes_two_more_passes_an_update_and_none_at_0(lab_backbone, picture, concepts):
    free = METHOD.learn(lab_backbone, picture, concepts, QUICK)
    held = METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, cycle_weight=0.5))
    assert int(held.metadata["passes"]) == int(free.metadata["passes"]) + 2
    assert not all(torch.equal(free.vectors[name]["clip_l"], held.vectors[name]["clip_l"]) for name in free.names)


@pytest.mark.parametrize("name", ["break_a_scene", "attencraft"])
def test_methods_that_change_the_model_take_it(lab_backbone, picture, concepts, name):
    """The change of the model gets its gradient, too."""
    method = METHODS[name]
    settings = replace(method.preset("small"), steps=2, rank=1, prior=0, cycle_weight=0.5)
    tokens = method.learn(lab_backbone, picture, concepts, settings)
    assert bool(torch.isfinite(tokens.losses).all()) and tokens.adapter
