"""Concepts From Masks: masks as people have them."""

import pytest
import torch

from concept_atelier.nodes import ConceptsFromMasks


def test_masks_become_named_concepts(call, sockets, image, masks):
    result = call(ConceptsFromMasks, **sockets, image=image, masks=masks, names="red, <green>")
    found, overlay = result.args
    assert found.names == ("red", "green") and found.grid == (8, 12)
    assert found.masks[0].sum() == found.masks[1].sum() == 16
    assert found.masks[0, 1:5, 1:5].all() and found.masks[1, 3:7, 7:11].all()
    assert overlay.ndim == 4 and len(result.ui["images"]) == 1


def test_names_are_numbers_unless_given(call, sockets, image, masks):
    assert call(ConceptsFromMasks, **sockets, image=image, masks=masks)[0].names == ("1", "2")


def test_the_target_is_the_mask_or_the_attention(call, sockets, image, masks):
    flat = call(ConceptsFromMasks, **sockets, image=image, masks=masks, target="mask")[0]
    looked = call(ConceptsFromMasks, **sockets, image=image, masks=masks, target="attention")[0]
    assert torch.allclose(flat.targets, flat.masks / 16)
    assert not torch.allclose(flat.targets, looked.targets, atol=1e-3)


def test_masks_of_another_size_are_stretched(call, sockets, image, masks):
    half = masks[:, ::2, ::2]
    whole = call(ConceptsFromMasks, **sockets, image=image, masks=masks)[0]
    assert torch.equal(call(ConceptsFromMasks, **sockets, image=image, masks=half)[0].masks, whole.masks)


def test_where_masks_overlap_the_smallest_wins(call, sockets, image, masks):
    everything = torch.ones(1, 64, 96)
    found = call(ConceptsFromMasks, **sockets, image=image, masks=torch.cat([everything, masks]))[0]
    assert torch.equal(found.masks[0], ~found.masks[1:].any(0))
    assert found.masks[1].sum() == found.masks[2].sum() == 16


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        (lambda m: m * torch.tensor([1.0, 0.0])[:, None, None], "", "mask 2 is empty"),
        (lambda m: m[:0], "", "at least one mask"),
        (lambda m: m * torch.nan, "", "NaN"),
        (lambda m: m, "red", "2 masks need as many names"),
        (lambda m: m, "red, red", "names must differ"),
        (lambda m: m, "red, a cat", "'a cat' cannot name a concept"),
        (lambda m: m, "red, ../cat", "cannot name a concept"),
        (lambda m: m[:1].repeat(2, 1, 1), "", "mask 1 is wholly covered by smaller masks"),
    ],
)
def test_masks_and_names_that_are_refused(call, sockets, image, masks, change, names, message):
    with pytest.raises(ValueError, match=message):
        call(ConceptsFromMasks, **sockets, image=image, masks=change(masks), names=names)


def test_a_broken_picture_is_refused(call, sockets, image, masks):
    with pytest.raises(ValueError, match="NaN or infinite"):
        call(ConceptsFromMasks, **sockets, image=image * torch.nan, masks=masks)
