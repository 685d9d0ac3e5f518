"""Numbers of weights: the same whatever type they are loaded as, others for other weights."""

import torch

from concept_atelier.core.fingerprints import alike, number_of


def test_a_number_outlives_rounding_and_tells_weights_apart():
    generator = torch.Generator().manual_seed(0)
    weight, other = (torch.randn(96, 80, generator=generator) for _ in range(2))
    found = number_of(weight)
    for kind in (torch.float16, torch.bfloat16):
        assert alike([number_of(weight.to(kind))], [found])
    assert not alike([number_of(other)], [found]) and not alike([found], [found, found])
    assert number_of(weight, 10) != found and number_of(torch.zeros(4)) == 0
