"""Localize Words on the lab model at random weights."""

import pytest
import torch

from concept_atelier.core.localize.methods.attencraft import METHOD
from concept_atelier.host.jobs.bounding_boxes import boxes_around
from concept_atelier.nodes import LocalizeWords


def test_it_gives_what_the_method_gives(call, sockets, image):
    from concept_atelier.host.adapters import backbone_of

    result = call(LocalizeWords, **sockets, image=image, words="cat\nred rocket", seed=1)
    concepts, masks, overlay, boxes, more = result.args
    assert more == ()
    with torch.inference_mode():
        picture = image.movedim(-1, 1)
        expected = METHOD.localize(
            backbone_of(**sockets), picture, METHOD.preset("small"), words=["cat", "red rocket"], seed=1
        )
    assert concepts.names == ("cat", "red-rocket")
    assert concepts.masks.equal(expected.masks) and concepts.targets.equal(expected.targets)
    assert masks.shape == (2, 64, 96) and overlay.shape[0] == 1
    assert boxes == boxes_around(masks, concepts.names)
    assert "<red-rocket>" in result.ui["text"][0]


def test_margin_and_fill_reach_the_method(call, sockets, image):
    def cells(**inputs):
        concepts = call(LocalizeWords, **sockets, image=image, words="cat, rocket", seed=1, **inputs)[0]
        return int(concepts.masks.sum())

    plain = cells(margin=0.0)
    assert cells(margin=0.05) <= plain <= cells(margin=0.0, fill=True)
    assert cells(margin=0.05) < cells(margin=0.05, fill=True)


def test_affinity_power_reaches_the_method(call, sockets, image):
    given = {**sockets, "image": image, "words": "cat, rocket", "seed": 1, "margin": 0.0, "fill": True}
    preset = METHOD.preset("small").affinity_power
    masks = [call(LocalizeWords, **given, affinity_power=power)[0].masks for power in (-1, preset, 0)]
    assert masks[0].equal(masks[1]) and not masks[0].equal(masks[2])


def test_all_pictures_of_a_batch_are_read_like_single_ones(call, sockets, image):
    given = {**sockets, "words": "cat, rocket", "seed": 1, "margin": 0.0, "fill": True}
    concepts, masks, overlay, _, more = call(
        LocalizeWords, **given, image=torch.cat([image, image.flip(2)]), all_pictures=True
    ).args
    alone = [call(LocalizeWords, **given, image=one)[0] for one in (image, image.flip(2))]
    assert len(more) == 1 and overlay.shape[0] == 2 and masks.shape == (2, 64, 96)
    assert concepts.masks.equal(alone[0].masks) and more[0].concepts.masks.equal(alone[1].masks)
    assert torch.equal(more[0].picture, image.flip(2).movedim(-1, 1))


def test_nothing_to_find_is_refused(call, sockets, image):
    with pytest.raises(ValueError, match="at least one word"):
        call(LocalizeWords, **sockets, image=image, words=" ,\n")


def test_a_transformer_is_read_at_its_familys_blocks_and_noise(call, transformer, image):
    def found(**changes):
        return call(
            LocalizeWords, **transformer, image=image, seed=1, words="cat, rocket", margin=0.0, fill=True, **changes
        )[0]

    plain = found()
    assert torch.equal(plain.targets, found(noise=0.5).targets)
    for changes in ({"blocks": "2"}, {"blocks": "all"}, {"noise": 0.1}):
        assert found(**changes).targets.shape[1:] == plain.targets.shape[1:]
        assert not torch.equal(found(**changes).targets, plain.targets), changes


def test_a_unet_has_no_blocks_but_may_be_read_at_any_noise(call, sockets, image):
    given = {**sockets, "image": image, "seed": 1, "words": "cat, rocket", "margin": 0.0, "fill": True}
    with pytest.raises(ValueError, match="this model is a UNet"):
        call(LocalizeWords, **given, blocks="1")
    assert not torch.equal(call(LocalizeWords, **given, noise=0.9)[0].targets, call(LocalizeWords, **given)[0].targets)
