"""The noise that sampling starts from."""

import torch

from concept_atelier.host.headless.starts import prepare_noise

EMPTY = {"samples": torch.zeros(2, 4, 6, 8)}


def test_noise_is_drawn_for_the_batch_or_for_its_indices():
    whole = prepare_noise(EMPTY, 3)
    assert whole.equal(torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(3)))
    one = prepare_noise({"samples": torch.zeros(1, 4, 6, 8), "batch_index": [1]}, 3)
    assert one[0].equal(whole[1])
