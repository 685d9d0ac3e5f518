"""What the page gets to know of regions."""

import pytest
import torch

from concept_atelier.core.types import Concepts
from concept_atelier.host.pictures.drawing import colour_of
from concept_atelier.host.pictures.region_view import region_view


def concepts_of(masks, size):
    count = len(masks)
    names = tuple(f"c{i}" for i in range(count))
    return Concepts(masks, masks / masks.sum((1, 2), keepdim=True), names, torch.linspace(1, 2, count), size)


@pytest.fixture
def saved():
    return []


@pytest.fixture
def save(saved):
    def keep(pixels):
        saved.append((pixels.clamp(0, 1) * 255).byte()[0])
        return {"filename": str(len(saved)), "subfolder": "", "type": "temp"}

    return keep


def test_words_and_places(save, saved):
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2, :2], masks[1, 3, :] = True, True
    view = region_view(torch.zeros(1, 3, 32, 32), concepts_of(masks, (32, 32)), save)
    first, second = view["concepts"]
    assert (first["name"], first["score"], first["area"], first["colour"]) == ("c0", 1.0, 0.25, list(colour_of(0)))
    assert first["middle"] == pytest.approx([0.25, 0.25], abs=0.05)
    assert second["middle"] == pytest.approx([0.5, 0.875], abs=0.05)
    assert view["picture"]["filename"] == "1" and view["labels"]["filename"] == "2"
    assert saved[1][4, 4].tolist() == [1, 0, 0] and saved[1][30, 16].tolist() == [2, 0, 0]
    assert saved[1][14, 30].tolist() == [0, 0, 0]


def test_large_pictures_are_made_smaller_and_keep_their_shape(save, saved):
    masks = torch.ones(1, 8, 4, dtype=torch.bool)
    view = region_view(torch.full((1, 3, 3000, 1500), 0.5), concepts_of(masks, (3000, 1500)), save)
    assert view["size"] == [512, 1024]
    assert [tuple(pixels.shape) for pixels in saved] == [(1024, 512, 3)] * 2


def test_more_concepts_than_a_channel_has_values(save, saved):
    masks = torch.eye(400, dtype=torch.bool).view(400, 20, 20)
    region_view(torch.zeros(1, 3, 20, 20), concepts_of(masks, (20, 20)), save)
    numbers = saved[1][..., 0].int() + 256 * saved[1][..., 1].int()
    assert numbers.flatten().tolist() == list(range(1, 401))
