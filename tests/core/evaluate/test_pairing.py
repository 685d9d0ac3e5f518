"""Whether two encoders share a space."""

import pytest
import torch

from concept_atelier.core.evaluate.pairing import pairing_chance


def encoders(seed, noise=0.5):
    """Features of eight pictures and of their texts, which share a space but for an offset and noise."""
    generator = torch.Generator().manual_seed(seed)
    meaning = torch.randn(8, 64, generator=generator)
    gap = 4 * torch.randn(64, generator=generator)  # what texts have and pictures have not
    return meaning, meaning + gap + noise * torch.randn(8, 64, generator=generator)


def test_a_pair_is_recognised_whatever_lies_between_pictures_and_texts():
    assert all(pairing_chance(*encoders(seed)) < 0.002 for seed in range(20))


def rotation(seed, width=64):
    """A random one, with the signs that make all alike probable."""
    made = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(seed)))
    return made.Q * made.R.diagonal().sign()


def test_rotated_spaces_are_chance():
    """Both encoders know how alike things are, but their spaces have nothing to do with each other."""
    found = []
    for seed in range(150):
        pictures, texts = encoders(seed)
        found.append(pairing_chance(pictures, texts @ rotation(1000 + seed)))
    passed = sum(one <= 0.1 for one in found) / len(found)
    assert 0.03 < passed < 0.2 and 0.4 < sum(found) / len(found) < 0.6


def test_too_few_or_unlike_pairs_are_refused():
    with pytest.raises(ValueError, match="at least four"):
        pairing_chance(torch.ones(3, 4), torch.ones(3, 4))
    with pytest.raises(ValueError, match="one width"):
        pairing_chance(torch.ones(8, 4), torch.ones(8, 5))
