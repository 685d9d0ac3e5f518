import pytest
import torch

from concept_atelier.core.learn.parts.augment import LARGER, SMALLER, WORDS, random_view

PICTURE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def views():
    generator = torch.Generator().manual_seed(1)
    return [random_view(PICTURE, 0.0, generator) for _ in range(300)]


def test_two_thirds_are_smaller_or_whole_and_a_third_is_cut(views):
    kinds = {kind: [view for view in views if view.prefix in words] for kind, words in WORDS.items()}
    whole = [view for view in views if view.prefix == ""]
    assert len(kinds["large"]) / 300 == pytest.approx(1 / 3, abs=0.08)
    share = (0.6 - SMALLER[0]) / (SMALLER[1] - SMALLER[0])  # of those not cut, these are pasted on grey
    assert len(kinds["small"]) / 300 == pytest.approx(2 / 3 * share, abs=0.08)
    assert len(kinds["large"]) + len(kinds["small"]) + len(whole) == 300
    assert all(view.picture.equal(PICTURE) for view in whole)
    assert {view.prefix for view in views} == {*WORDS["small"], *WORDS["large"], ""}


def test_a_small_view_is_grey_outside_its_box_and_valid_inside(views):
    for view in [view for view in views if view.prefix in WORDS["small"]][:20]:
        top, left, height, width = view.box
        outside = view.picture.clone()
        outside[..., top : top + height, left : left + width] = 0.5
        assert outside.eq(0.5).all() and height / 64 == pytest.approx(width / 96, abs=0.02)
        cells = view.valid((8, 12)).nonzero()
        assert len(cells) >= 1
        assert (cells[:, 0] * 8 > top).all() or height < 24
        assert ((cells[:, 0] + 1) * 8 <= top + height + 8).all()


def test_other_views_are_valid_everywhere(views):
    assert all(view.valid((8, 12)).all() for view in views if view.prefix not in WORDS["small"])


def test_a_cut_view_is_a_larger_part(views):
    large = next(view for view in views if view.prefix in WORDS["large"])
    assert large.picture.shape == PICTURE.shape and LARGER[0] > 1
    assert large.picture.std() < PICTURE.std()  # enlarged noise is smoother


def test_mirroring_and_switching_scales_off(generator):
    assert random_view(PICTURE, 1.0, generator, scaled=False).picture.equal(PICTURE.flip(-1))
    assert random_view(PICTURE, 0.0, generator, scaled=False).picture.equal(PICTURE)
