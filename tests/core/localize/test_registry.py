"""What every method of localising promises; a new method is tested here by being registered."""

import pytest
import torch

from concept_atelier.core.localize.registry import METHODS

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_a_record_says_what_it_is(name):
    method = METHODS[name]
    assert method.name == name and method.title and method.help.endswith(".")
    assert next(iter(method.presets)) == "paper" and "small" in method.presets
    assert all(settings.cost for settings in method.presets.values())


@every_method
def test_concepts_have_masks_and_names_and_come_out_the_same_twice(name, lab_backbone, generator):
    method = METHODS[name]
    words = ("cat", "rocket") if "words" in method.needs else ()
    picture = torch.rand(1, 3, 64, 64, generator=generator)
    kept = picture.clone()
    made = [method.localize(lab_backbone, picture, method.preset("small"), words=words, seed=3) for _ in range(2)]
    assert len(made[0]) == len(made[0].names) == len(set(made[0].names)) >= 1
    assert made[0].masks.dtype == torch.bool and made[0].masks.flatten(1).any(1).all()
    assert made[0].targets.isfinite().all() and (made[0].targets >= 0).all()
    assert made[0].masks.equal(made[1].masks) and made[0].targets.equal(made[1].targets)
    assert picture.equal(kept), "the picture was changed"


@every_method
def test_what_is_no_picture_is_refused(name, lab_backbone):
    words = ("cat",) if "words" in METHODS[name].needs else ()
    for picture in (torch.rand(2, 3, 64, 64), torch.rand(1, 3, 4, 4), torch.full((1, 3, 64, 64), torch.nan)):
        with pytest.raises(ValueError):
            METHODS[name].localize(lab_backbone, picture, words=words)


@pytest.mark.parametrize("name", METHODS)
def test_a_picture_of_one_colour_is_refused(name, lab_backbone):
    grey = torch.full((1, 3, 64, 64), 0.5)
    grey[..., ::2, ::2] += 1 / 255
    with pytest.raises(ValueError, match="one colour only"):
        METHODS[name].localize(lab_backbone, grey, words=["cat"])
