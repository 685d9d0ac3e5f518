"""Concepts found again in another picture: on scenes of the lab, where what is what is known."""

import random
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.localize.match import describe, match
from concept_atelier.core.types import Concepts, Source
from concept_atelier.lab.bench.cases import case_of
from concept_atelier.lab.bench.command import load_backbone
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.backgrounds import sample_background
from concept_atelier.lab.world.scene import Scene, SceneSettings, compose, sample_kinds


@pytest.fixture(scope="module")
def trained():
    """The lab model as it ships: what a concept is like is nothing that random weights know."""
    return load_backbone()


def scenes(seed, count=3, size=(128, 128)):
    """Two pictures of the same objects, elsewhere and before another background."""
    rng = random.Random(f"match {seed}")
    kinds = sample_kinds(rng, "development", count, unseen=False)
    styles = [rng.choice(load_atlas().styles)] * count
    names = [kind.name for kind in kinds]
    found = []
    for _ in range(2):
        background = sample_background(rng, 0.5)
        drawn = compose(
            rng, kinds, styles, [None] * count, names, background, SceneSettings(counts=(count,), size=size)
        )
        found.append(source(case_of(Scene(drawn[0], "", drawn[1], background), seed)))
    return found


def source(case):
    cells = torch.nn.functional.adaptive_avg_pool2d(case.masks.float(), (16, 16)) > 0.4
    targets = cells / cells.sum((1, 2), keepdim=True)
    scores = torch.ones(len(cells))
    return Source(case.picture, Concepts(cells, targets, case.names, scores, tuple(case.picture.shape[-2:])))


def shuffled(source):
    """The concepts in another order, under names that say nothing."""
    order = [1, 2, 0][: len(source.concepts)]
    concepts = source.concepts.pick(order)
    return replace(source, concepts=replace(concepts, names=tuple("abc"[: len(order)]))), order


@pytest.mark.parametrize("seed", range(4))
def test_the_same_drawings_are_found_wherever_they_lie(trained, seed):
    first, second = scenes(seed)
    other, order = shuffled(second)
    found = match(trained, first, other)
    assert found.source.concepts.names == first.concepts.names
    assert torch.equal(found.source.concepts.masks, second.concepts.masks)
    assert found.former == tuple("abc"[order.index(index)] for index in range(3))
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
