"""Match Concepts: names, the chain of pictures, and that Learn Concept Tokens learns from them."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.localize.match import match
from concept_atelier.core.types import Source
from concept_atelier.host.adapters import backbone_of
from concept_atelier.nodes import MatchConcepts
from concept_atelier.nodes.sockets import picture_of


@pytest.fixture(scope="module")
def other(image, concepts):
    """The picture upside down, and its concepts under other names in another order."""
    turned = replace(concepts, masks=concepts.masks.flip(1), targets=concepts.targets.flip(1))
    return image.flip(1), replace(turned.pick([1, 0]), names=("a", "b"))


def test_names_order_and_likeness_are_those_of_the_core(call, sockets, image, concepts, other):
    result = call(
        MatchConcepts,
        **sockets,
        image=image,
        concepts=concepts,
        other_image=other[0],
        other_concepts=other[1],
        seed=2,
    )
    more, found, overlay = result.args
    first, second = Source(picture_of(image), concepts), Source(picture_of(other[0]), other[1])
    expected = match(backbone_of(**sockets), first, second, 2)
    assert found.names == concepts.names and torch.equal(found.masks, expected.source.concepts.masks)
    assert len(more) == 1 and more[0].concepts is found
    assert torch.equal(more[0].picture, picture_of(other[0]))
    assert overlay.shape[2] > 2 * 320 - 8 and overlay.std() > 0
    assert all(f"<{former}> of the other picture" in result.ui["text"][0] for former in expected.former)


def test_pictures_are_chained_and_learnt_from(call, sockets, image, concepts, other, learn, tokens, here):
    given = {**sockets, "image": image, "concepts": concepts, "other_image": other[0], "other_concepts": other[1]}
    once = call(MatchConcepts, **given)[0]
    twice = call(MatchConcepts, **given, more=once)[0]
    assert len(twice) == 2 and twice[0] is once[0]
    learnt = learn(more=twice)[0]
    assert learnt.metadata["pictures"] == "3"
    assert not torch.equal(learnt.vectors["red"]["clip_l"], tokens.vectors["red"]["clip_l"])


def test_a_picture_of_another_size_than_the_concepts_were_found_in_is_refused(call, sockets, image, concepts):
    given = {"image": image, "concepts": concepts, "other_image": image[:, :48], "other_concepts": concepts}
    with pytest.raises(ValueError, match="the image has 96x48 pixels, the concepts were found in one of 96x64"):
        call(MatchConcepts, **sockets, **given)
