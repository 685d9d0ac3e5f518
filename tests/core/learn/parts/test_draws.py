import pytest
import torch

from concept_atelier.core.learn.parts.draws import Draws, choose


def test_without_weights_the_random_source_is_used_as_it_was():
    one, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert [Draws().choose(5, one) for _ in range(20)] == [choose(5, other) for _ in range(20)]


def test_pictures_are_drawn_as_often_as_they_weigh():
    generator, draws = torch.Generator().manual_seed(0), Draws((1.0, 0.0, 3.0))
    counts = torch.tensor([draws.choose(3, generator) for _ in range(800)]).bincount(minlength=3)
    assert counts[1] == 0 and float(counts[2]) / 800 == pytest.approx(0.75, abs=0.05)


def test_weights_of_other_pictures_are_refused():
    Draws((1.0, 0.0)).check(2)
    Draws().check(7)
    with pytest.raises(ValueError, match="3 pictures and 2 weights"):
        Draws((1.0, 0.0)).check(3)
    for wrong in ((0.0, 0.0), (1.0, -1.0), (1.0, float("nan"))):
        with pytest.raises(ValueError, match="0 or more, and one of them above 0"):
            Draws(wrong).check(2)
