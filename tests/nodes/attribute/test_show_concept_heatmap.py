"""Show Concept Heatmap on the lab transformer at random weights."""

import pytest
import torch

from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.adapters import UnsupportedModelError, backbone_of
from concept_atelier.nodes import ShowConceptHeatmap


@pytest.fixture
def show(call, transformer, image):
    def go(**changes):
        given = {**transformer, "image": image, "normalise": "absolute", **changes}
        return call(ShowConceptHeatmap, **given).args

    return go


def test_maps_and_pictures_in_the_pictures_size(show, image):
    pictures, masks = show(concepts="cat, red crab, dog")
    assert pictures.shape == (3, 320, 480, 3) and masks.shape == (3, 64, 96)
    assert (masks >= 0).all() and (masks.sum(0) < 1).all()
    assert show(image=image[:, :61, :90], concepts="cat")[1].shape == (1, 61, 90)


def test_with_the_background_every_cell_is_divided(show):
    alone = show(concepts="cat, dog", background="")[1]
    assert torch.allclose(alone.sum(0), torch.ones(64, 96), atol=1e-5)
    more = show(concepts="cat, dog", background="sky, grass")[1]
    assert (more.sum(0) < alone.sum(0)).all()


def test_names_are_read_once_and_the_seed_and_settings_count(show):
    first = show(concepts="cat, cat, dog", seed=1)[1]
    assert len(first) == 2 and torch.equal(first, show(concepts="cat\ndog", seed=1)[1])
    for changes in ({"seed": 2}, {"noise": 0.2}, {"draws": 2}, {"temperature": 0.2}, {"blocks": "2"}, {"text": "cats"}):
        assert not torch.equal(first, show(**({"concepts": "cat, dog", "seed": 1} | changes))[1]), changes


def test_relative_maps_fill_the_range(show):
    masks = show(concepts="cat, dog", normalise="relative")[1]
    assert masks.amin((1, 2)).eq(0).all() and masks.amax((1, 2)).eq(1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concepts": "cat", "background": ""}, "maps compare concepts with one another"),
        ({"concepts": "cat, sky", "background": "sky"}, "'sky' is named as a concept and as background"),
        ({"concepts": "<apple>"}, "the tokens are: none connected"),
        ({"blocks": "7"}, "this model has blocks 0 to 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(show, changes, message):
    with pytest.raises(ValueError, match=message):
        show(**changes)


def test_learnt_tokens_may_be_concepts(show, transformer):
    vectors = backbone_of(clip=transformer["clip"]).word_vectors("rocket")
    tokens = ConceptTokens({"thing": vectors}, "lab_flux")
    learnt = show(concepts="<thing>, cat", tokens=tokens, seed=1)[1]
    torch.testing.assert_close(learnt, show(concepts="rocket, cat", seed=1)[1], rtol=1e-4, atol=1e-5)


def test_empty_concepts_are_said_before_anything_runs():
    assert "concepts is empty" in ShowConceptHeatmap.validate_inputs(concepts=" , ")
    assert ShowConceptHeatmap.validate_inputs(concepts=None) is True


def test_a_unet_is_refused_by_name(call, sockets, image):
    with pytest.raises(UnsupportedModelError, match=r"the lab model.*supported are the lab transformer"):
        call(ShowConceptHeatmap, **sockets, image=image)
