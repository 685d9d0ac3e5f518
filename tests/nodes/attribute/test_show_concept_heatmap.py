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


def test_maps_are_read_while_the_headless_sampler_runs(call, transformer, show):
    """The picture stays bit-identical; of two steps at other noise the maps differ; other attention is not touched."""
    from concept_atelier.host.headless.sampling import sample
    from concept_atelier.host.shared.conditioning import to_comfy
    from concept_atelier.nodes import CaptureAttention

    backbone = backbone_of(**transformer)
    conditionings = [to_comfy(backbone.encode_text([text])) for text in ("a cat and a dog", "")]
    latent = {"samples": torch.zeros(2, 4, 8, 12)}

    def draw(model):
        return sample(model, *conditionings, latent, seed=3, steps=2, cfg=2.0)

    plain, asked = draw(transformer["model"])["samples"], {"concepts": "cat, dog", "clip": transformer["clip"]}
    runs = []
    for changes in ({}, asked, asked | {"start_percent": 0.5}):
        model, capture = call(CaptureAttention, model=transformer["model"], least_grid=1, **changes).args
        assert torch.equal(draw(model)["samples"], plain)
        runs.append(capture)
    bare, whole, late = runs
    assert bare.runs[-1].concepts is None
    for grid, maps in bare.maps().cross.items():
        assert torch.equal(whole.maps().cross[grid], maps)
    assert whole.runs[-1].concepts.shape == (3, 2, 8, 12)
    assert not torch.equal(whole.runs[-1].concepts, late.runs[-1].concepts)
    given = {"capture": whole, "samples": {"samples": plain}, "image": torch.rand(2, 64, 96, 3)}
    masks = show(**given, concepts="dog, cat")[1]
    assert masks.shape == (4, 64, 96) and not torch.equal(masks[0], masks[1])
    with pytest.raises(ValueError, match="no concepts were captured"):
        show(**(given | {"capture": bare}), concepts="cat")
