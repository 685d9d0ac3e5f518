"""Concepts found again in another picture: on scenes of the lab, where what is what is known."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.bench.command import load_backbone
from concept_atelier.bench.localize.match import scene_pair
from concept_atelier.core.localize.match import MatchSettings, describe, match


@pytest.fixture(scope="module")
def trained():
    """The lab model as it ships: what a concept is like is nothing that random weights know."""
    return load_backbone()


def scenes(seed, count=3, size=(128, 128)):
    """Two pictures of the same objects, elsewhere and before another background."""
    return scene_pair("development", seed, count, same_style=True, size=size)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_drawings_are_found_wherever_they_lie(trained, seed):
    first, second = scenes(seed)
    names, true = first.concepts.names, second.concepts.names
    nameless = replace(second, concepts=replace(second.concepts, names=("a", "b", "c")))
    found = match(trained, first, nameless)
    assert found.source.concepts.names == names and sorted(names) == sorted(true)
    assert found.former == tuple("abc"[true.index(name)] for name in names)
    assert torch.equal(found.source.concepts.masks, second.concepts.masks[[true.index(name) for name in names]])
    assert found.cosines.min() > 0.5 and found.source.picture is second.picture


def test_a_picture_matches_itself_wholly(trained):
    first, _ = scenes(5)
    found = match(trained, first, first)
    assert found.former == first.concepts.names
    torch.testing.assert_close(found.cosines, torch.ones(3), atol=1e-5, rtol=0)


def test_what_is_left_over_is_dropped_and_a_lack_is_refused(trained):
    first, second = scenes(6)
    two = replace(first, concepts=first.concepts.pick([2, 0]))
    found = match(trained, two, second)
    assert found.source.concepts.names == two.concepts.names == found.former
    with pytest.raises(ValueError, match="3 concepts and the other 2"):
        match(trained, first, replace(second, concepts=second.concepts.pick([0, 1])))


def test_descriptions_are_unit_vectors_of_pictures_of_any_shape(trained):
    first, _ = scenes(7, count=2, size=(96, 160))
    vectors = describe(trained, first)
    assert vectors.shape[0] == 2 and torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.equal(vectors, describe(trained, first))


def test_pictures_are_read_at_the_noise_and_by_the_layers_asked_for(trained):
    first, _ = scenes(8, count=2)
    plain, timestep = describe(trained, first), int(0.1 * 999)
    share = float(trained.schedule.add_noise(torch.zeros(1), torch.ones(1), torch.tensor([timestep])))
    torch.testing.assert_close(describe(trained, first, settings=MatchSettings(noise=share)), plain)
    assert not torch.equal(describe(trained, first, settings=MatchSettings(noise=0.9)), plain)
    sites = [site for site in trained.attention_sites() if site.kind == "self"]
    decoder = [site for site in sites if site.stage == "up"]
    nearest = min(decoder, key=lambda site: abs(site.downscale - 2)).downscale
    own = MatchSettings(layers=tuple(site.name for site in decoder if site.downscale == nearest))
    assert torch.equal(describe(trained, first, settings=own), plain)
    one = describe(trained, first, settings=MatchSettings(layers=(sites[0].name,)))
    assert one.shape != plain.shape or not torch.equal(one, plain)
    with pytest.raises(ValueError, match=r"share of noise.* 1\.5"):
        MatchSettings(noise=1.5)
