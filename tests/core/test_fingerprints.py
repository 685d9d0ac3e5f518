"""Numbers of weights: the same whatever type they are loaded as, others for other weights."""

import pytest
import torch

from concept_atelier.core.fingerprints import alike, number_of, spread


def test_a_number_outlives_rounding_and_tells_weights_apart():
    generator = torch.Generator().manual_seed(0)
    weight, other = (torch.randn(96, 80, generator=generator) for _ in range(2))
    found = number_of(weight)
    for kind in (torch.float16, torch.bfloat16):
        assert alike([number_of(weight.to(kind))], [found])
    assert not alike([number_of(other)], [found]) and not alike([found], [found, found])
    assert number_of(weight, 10) != found and number_of(torch.zeros(4)) == 0


@pytest.mark.parametrize("length", [1, 7, 4096, 23592960, 29491200, 66060288])
def test_values_are_read_from_the_first_to_the_last_of_a_weight_of_any_size(length):
    """The larger ones are weights of SDXL and FLUX.1, whose sizes float32 does not hold exactly."""
    index = spread(length, 4096)
    assert len(index) == min(length, 4096) and index[0] == 0 and index[-1] == length - 1
    assert bool((index.diff() > 0).all())
