"""Read Found Regions: the places of each run, in the order of the concepts, and what is refused."""

import pytest
import torch

from concept_atelier.core.compose.registry import METHODS
from concept_atelier.host.headless.sampling import sample
from concept_atelier.nodes import ComposeConcepts, LoadLabClipVision, ReadFoundRegions, ScoreComposition

PLAIN = {"prompt": "a cat, a rocket and a tree", "concepts": "a cat\na rocket\na tree", "preset": "small"}


@pytest.fixture
def composed(call, sockets):
    def go(**given):
        values = {"method": "lora_composer", "places": "found\nright third\nfound"} | PLAIN
        return call(ComposeConcepts, model=sockets["model"], clip=sockets["clip"], **(values | given))

    return go


@pytest.fixture
def read(call):
    return lambda model, latent, picture=0: call(ReadFoundRegions, model=model, samples=latent, picture=picture)


def drawn(model, positive, negative, seed=3, steps=3, batch=2):
    empty = {"samples": torch.zeros(batch, 4, 8, 12)}
    return sample(model, positive, negative, empty, seed=seed, steps=steps, cfg=3.0)


def said(result):
    return result.ui.as_dict()["text"][0]


REGIONAL = [name for name, record in METHODS.items() if "regions" in record.needs]


@pytest.mark.parametrize("method", REGIONAL)
def test_found_places_lie_beside_given_ones_in_the_order_of_concepts(composed, read, encode, method):
    model, conditioning, before, _ = composed(
        method=method, settings="refine_until=0" * (method == "concept_conductor")
    )
    assert before.shape == (3, 64, 64) and [bool(mask.any()) for mask in before] == [False, True, False]
    latent = drawn(model, conditioning, encode(""))
    result = read(model, latent)
    masks, ((*boxes,),) = result.args
    assert masks.shape == (3, 64, 96) and float(masks.min()) >= 0 and float(masks.max()) <= 1
    assert float(masks[1, :, 72:].min()) > 0.9 and float(masks[1, :, :56].max()) < 0.1
    found = [float(mask.max()) >= 0.5 for mask in masks]
    assert found[0] or found[2]
    names = [name for name, there in zip(PLAIN["concepts"].splitlines(), found, strict=True) if there]
    assert [box["metadata"]["desc"] for box in boxes] == names
    assert boxes[names.index("a rocket")]["x"] == pytest.approx(64, abs=4)
    assert len(said(result).splitlines()) == 3


def test_each_picture_and_each_run_has_its_own_places(composed, read, encode):
    model, conditioning, *_ = composed(places="")
    latents = [drawn(model, conditioning, encode(""), seed) for seed in (1, 2)]
    of_first, of_second = (read(model, latents[0], picture)[0] for picture in (0, 1))
    assert not torch.equal(of_first, of_second)
    assert not torch.equal(of_first, read(model, latents[1])[0])
    changed = read(model, {"samples": latents[0]["samples"] + 1})
    assert torch.equal(changed[0], read(model, latents[1])[0])
    assert "did not come straight out of the last 2 runs" in said(changed)


def test_all_pictures_of_a_batch_are_read_at_once(composed, read, encode):
    model, conditioning, *_ = composed(places="")
    latent = drawn(model, conditioning, encode(""))
    each = [read(model, latent, picture) for picture in (0, 1)]
    every = read(model, latent, -1)
    assert torch.equal(every[0], torch.cat([one[0] for one in each]))
    assert every[1] == [*each[0][1], *each[1][1]] and len(every[1]) == 2
    lines = said(every).splitlines()
    assert lines == ["Picture 0:", *said(each[0]).splitlines(), "Picture 1:", *said(each[1]).splitlines()]


def test_the_shapes_of_concept_conductor_are_what_it_found(composed, read, encode):
    given = {"method": "concept_conductor", "preset": "paper", "places": "left third\nmiddle third\nright third"}
    model, conditioning, places, _ = composed(**given, settings="refine_from=0.2, refine_until=0.9")
    masks = read(model, drawn(model, conditioning, encode(""), batch=1))[0]
    as_given = torch.nn.functional.interpolate(places[None], size=(64, 96), mode="bilinear")[0]
    assert float((masks - as_given).abs().amax()) > 0.5


def test_what_no_run_found_is_refused(composed, read, encode, sockets):
    model, conditioning, *_ = composed()
    latent = {"samples": torch.zeros(1, 4, 8, 12)}
    with pytest.raises(ValueError, match="no sampler has finished on the MODEL"):
        read(model, latent)
    latent = drawn(model, conditioning, encode(""))
    with pytest.raises(ValueError, match="2 pictures, and picture is 2; count from 0 to 1, or take -1 for all"):
        read(model, latent, 2)
    with pytest.raises(ValueError, match="this MODEL composes nothing: connect the MODEL of Compose Concepts"):
        read(sockets["model"], latent)
    words, conditioning, *_ = composed(method="t2i_zero", places="")
    with pytest.raises(ValueError, match="works without regions"):
        read(words, drawn(words, conditioning, encode("")))


def test_score_composition_names_the_node_for_places_that_are_not_known_yet(call, composed, image, concepts):
    regions = composed(prompt="a cat and a rocket", concepts="a cat\na rocket", places="left\nfound")[2]
    given = {"pictures": image, "image": image, "concepts": concepts, "filename_prefix": ""}
    vision = call(LoadLabClipVision)[0]
    with pytest.raises(ValueError, match=r"the region of .* is empty: .* connect Read Found Regions"):
        call(ScoreComposition, clip_vision=vision, regions=regions, **given)
