"""A joint energy with planted relations: clamps hold, relatives follow, and small ones are exact."""

from itertools import product

import pytest
import torch

from concept_atelier.core.recognise.energy.pairwise import FREE, Energy, EnergySettings, dependencies, fit_energy, infer


@pytest.fixture(scope="module")
def tags():
    """400 captions: crown follows king nine times in ten and is rare elsewhere; grass goes with nothing. King and cat
    are the classes."""
    generator = torch.Generator().manual_seed(0)
    king = torch.rand(400, generator=generator) < 0.5
    chance = torch.where(king, 0.9, 0.1)
    crown = torch.rand(400, generator=generator) < chance
    grass = torch.rand(400, generator=generator) < 0.5
    return torch.stack([king, ~king, crown, grass], 1)


@pytest.fixture(scope="module")
def energy(tags):
    return fit_energy(tags, classes=(0, 1))


def free(**fixed):
    row = torch.full((1, 4), FREE)
    for name, value in fixed.items():
        row[0, ("king", "cat", "crown", "grass").index(name)] = value
    return row


def test_relatives_follow_a_correction_and_strangers_do_not(energy):
    with_crown, without = infer(energy, free(crown=1.0))[0], infer(energy, free(crown=0.0))[0]
    assert float(with_crown[0]) > 0.8 and float(without[0]) < 0.2
    assert float((with_crown[3] - without[3]).abs()) < 0.1
    assert float(infer(energy, free(king=1.0))[0, 2]) == pytest.approx(0.9, abs=0.06)


def test_clamps_hold_and_one_class_is_present(energy):
    found = infer(energy, torch.cat([free(king=1.0, crown=0.0), free(cat=0.0), free()]))
    assert found[0, 0] == 1 and found[0, 1] == 0 and found[0, 2] == 0
    torch.testing.assert_close(found[:, :2].sum(1), torch.ones(3))
    assert found[1, 0] == 1


def test_dependencies_have_the_signs_of_what_was_planted(energy):
    found = dependencies(energy)
    assert float(found[2, 0]) > 0.5 and float(found[2, 1]) < -0.5 and float(found[3, 2].abs()) < 0.1
    assert not bool(found.diagonal().any())


def test_concepts_that_go_with_nothing_are_hardly_coupled():
    """Eight independent concepts in 200 captions, and a ninth that repeats the first in nine of ten."""
    generator = torch.Generator().manual_seed(2)
    tags = torch.rand(200, 9, generator=generator) < 0.3
    tags[:, 8] = torch.where(torch.rand(200, generator=generator) < 0.9, tags[:, 0], tags[:, 8])
    found = {}
    for sparsity in (0.0, EnergySettings().sparsity):
        couplings = fit_energy(tags, settings=EnergySettings(sparsity=sparsity)).coupling.abs()
        planted = float(couplings[0, 8])
        couplings[[0, 8], [8, 0]] = 0
        assert planted > 2
        found[sparsity] = float(couplings.mean())
    without, with_penalty = found.values()
    assert with_penalty < 0.5 * without and with_penalty < 0.1


def test_one_free_concept_has_its_exact_probability():
    generator = torch.Generator().manual_seed(1)
    coupling = torch.randn(4, 4, generator=generator)
    made = Energy(torch.randn(4, generator=generator), torch.ones(4), (coupling + coupling.T).fill_diagonal_(0))
    evidence = torch.randn(1, 4, generator=generator)
    for others in product((0.0, 1.0), repeat=3):
        fixed = torch.tensor([[*others, FREE]])
        both = torch.tensor([[*others, 0.0], [*others, 1.0]])
        exact = (-made.of(both, evidence.expand(2, 4))).softmax(0)[1]
        torch.testing.assert_close(infer(made, fixed, evidence)[0, 3], exact, atol=1e-3, rtol=0)


def test_pictures_count_where_they_say_something(tags):
    noise = torch.randn(400, 4, generator=torch.Generator().manual_seed(2))
    evidence = noise.clone()
    evidence[:, 3] += 3 * tags[:, 3].float()
    found = fit_energy(tags, evidence)
    assert float(found.scale[3]) > 3 * float(found.scale[2])
    seen = infer(found, torch.full((400, 4), FREE), evidence)[:, 3] > 0.5
    assert float((seen == tags[:, 3]).float().mean()) > 0.85


def test_faults_are_named(tags):
    with pytest.raises(ValueError, match="at least 4 captions"):
        fit_energy(tags[:3])
    with pytest.raises(ValueError, match="exactly one of the classes"):
        fit_energy(tags, classes=(2, 3))
