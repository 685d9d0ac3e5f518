"""Compose Concepts: what comes out, how places are written, and what is refused."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.types import LowRank
from concept_atelier.host.headless.sampling import sample
from concept_atelier.host.jobs.compose.composing import read_place
from concept_atelier.nodes import ComposeConcepts, LoadConceptTokens, SaveAdapterAsLora, SaveConceptTokens

PLAIN = {"prompt": "a cat and a rocket", "concepts": "a cat\na rocket", "places": "left\nright"}


@pytest.fixture
def run(call, sockets):
    def run_(**given):
        values = {"method": "lora_composer", "preset": "small"} | PLAIN
        return call(ComposeConcepts, model=sockets["model"], clip=sockets["clip"], **(values | given))

    return run_


def drawn(model, positive, negative, steps=3):
    empty = {"samples": torch.zeros(1, 4, 8, 8)}
    return sample(model, positive, negative, empty, seed=3, steps=steps, cfg=3.0)["samples"]


def test_the_sampler_draws_another_picture_and_the_model_stays_as_it_was(run, sockets, encode):
    model, conditioning, regions, _ = run()
    before = drawn(sockets["model"], encode(PLAIN["prompt"]), encode(""))
    after = drawn(model, conditioning, encode(""))
    assert not torch.allclose(before, after)
    assert torch.equal(drawn(sockets["model"], encode(PLAIN["prompt"]), encode("")), before)
    assert torch.equal(drawn(model, conditioning, encode("")), after)
    assert regions.shape == (2, 64, 64)
    assert torch.equal(regions[0], regions[1].flip(1))


def test_another_conditioning_is_refused_before_anything_is_drawn(run, encode):
    model, *_ = run()
    with pytest.raises(ValueError, match="another positive CONDITIONING"):
        drawn(model, encode("a dog"), encode(""))


def test_a_learnt_token_is_a_concept(run, tokens):
    _, conditioning, *_ = run(prompt="a photo of <red> and <2>", concepts="<red>\n<2>", places="", tokens=tokens)
    assert conditioning[0][0].shape[1] == 3 * 77


def test_the_layout_of_a_reference_is_followed(run, encode):
    given = {"method": "concept_conductor", "settings": "refine_until=0"}
    free, text, *_ = run(**given)
    led, *_ = run(**given, reference={"samples": torch.randn(1, 4, 8, 8)})
    one, other = (drawn(model, text, encode(""), steps=2) for model in (free, led))
    assert text[0][0].shape[1] == 3 * 77
    assert bool(torch.isfinite(other).all()) and not torch.equal(one, other)


def test_masks_come_before_boxes(run):
    masks = torch.rand(2, 5, 7)
    assert torch.equal(run(regions=masks)[2], masks)
    assert torch.equal(run(regions=masks[:, None])[2], masks)


def element(x, y, width, height, **more):
    return {"x": x, "y": y, "width": width, "height": height, **more}


@pytest.mark.parametrize("form", [lambda boxes: boxes, lambda boxes: [boxes, []]], ids=["list", "pictures"])
def test_bounding_boxes_come_before_places_and_after_masks(run, form):
    boxes = form([element(0, 0, 256, 128), element(128, 64, 128, 64, metadata={"desc": "a rocket"})])
    given = {"bounding_boxes": boxes, "width": 256, "height": 128}
    regions = run(**given)[2]
    assert float(regions[0].min()) == 1
    assert torch.equal(regions[1], read_place("0.5 0.5 1 1")[0])
    masks = torch.rand(2, 5, 7)
    assert torch.equal(run(regions=masks, **given)[2], masks)


def test_the_boxes_of_regions_are_elements_in_pixels(run):
    boxes = run(places="0.1 0.2 0.5 0.9\nfound", width=640, height=320)[3]
    assert boxes == [[element(64, 64, 256, 224, metadata={"type": "obj", "text": "", "desc": "a cat", "palette": []})]]
    again = run(
        concepts="a cat",
        prompt="a cat",
        places="",
        bounding_boxes=boxes,
        width=640,
        height=320,
        method="attention_couple",
    )
    assert again[3] == boxes
    assert run(places="")[3] == [[]]


@pytest.mark.parametrize(
    ("line", "box"),
    [("left", (0, 0, 32, 64)), ("Top Right", (32, 0, 64, 32)), ("0.25, 0, 0.5, 1", (16, 0, 32, 64))],
)
def test_places_are_names_or_four_numbers(line, box):
    left, top, right, bottom = box
    mask, options = read_place(line)
    assert float(mask[top:bottom, left:right].min()) == 1
    assert float(mask.sum()) == (bottom - top) * (right - left)
    assert options == {"weight": 1.0, "start": 0.0, "end": 1.0}


def test_a_place_may_have_a_weight_and_a_span():
    for line in ("weight=0.5 end=0.4", "found weight=0.5 end=0.4"):
        mask, options = read_place(line)
        assert mask is None and options == {"weight": 0.5, "start": 0.0, "end": 0.4}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"places": "left"}, "2 concepts and 1 place;"),
        ({"regions": torch.ones(3, 4, 4)}, "2 concepts and 3 masks"),
        ({"places": "left\nnowhere"}, "is no place"),
        ({"bounding_boxes": [element(0, 0, 9, 9)]}, "2 concepts and 1 mask;"),
        ({"bounding_boxes": [element(0, 0, 9, 9), element(600, 0, 9, 9)]}, "does not lie in a picture of 512x512"),
        ({"bounding_boxes": [[]]}, "bounding_boxes holds no box; lower the threshold"),
        ({"bounding_boxes": "0 0 1 1"}, "elements with x, y, width, height"),
        ({"bounding_boxes": [{"x": 1}]}, "elements with x, y, width, height"),
        ({"places": "left\n0 0 1"}, "is no place"),
        ({"places": "left\n0.5 0 0.5 1"}, "left below right"),
        ({"places": "left\nright size=2"}, "the options weight, start"),
        ({"places": "left\nright weight=much"}, "expected a number"),
        ({"concepts": "a cat\n<3>"}, "names <3>"),
        ({"concepts": "a cat\na whale", "places": ""}, "no word of 'a whale'"),
        ({"method": "t2i_zero", "concepts": "a cat\na whale"}, "two concepts that the prompt names"),
        (
            {"method": "area", "places": "left\nfound"},
            "'a rocket' has no region, and stock area conditioning finds none",
        ),
        ({"settings": "of_prompt=2"}, "of_prompt"),
        ({"reference": {"samples": torch.zeros(1, 4, 8, 8)}}, "follows no reference picture"),
        ({"settings": "depth=2"}, "no setting"),
    ],
)
def test_what_cannot_be_composed_is_refused(run, given, message):
    with pytest.raises(ValueError, match=message):
        run(**given)


@pytest.mark.parametrize(
    ("places", "concepts", "said"),
    [
        ("left\nsideways", "a cat\na dog", "places: 'sideways' is no place"),
        ("left", "a cat\na dog", "places: there are 2 concepts and 1 place;"),
        ("left", "a cat", None),
        ("left", None, None),
        (None, "a cat\na dog", None),
    ],
)
def test_wrong_places_are_refused_before_anything_is_learnt(places, concepts, said):
    verdict = ComposeConcepts.validate_inputs(places=places, concepts=concepts)
    assert verdict is True if said is None else str(verdict).startswith(said)


MANY = {
    "two of a kind": ("a red cat and a blue cat", "a red cat\na blue cat", "left\nright"),
    "a style": (
        "a cat and a rocket in watercolour",
        "a cat\na rocket\nin watercolour",
        "left\nright\neverywhere weight=0.3",
    ),
    "names and learnt tokens": (
        "a cat, <red> and a tree",
        "a cat\n<red>\na tree",
        "left third\nfound\nright third end=0.5",
    ),
    "four": (
        "a cat, a dog, a rocket and a tree",
        "a cat\na dog\na rocket\na tree",
        "top left\ntop right weight=2\nbottom left start=0.2 end=0.6\nbottom right",
    ),
}


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("kind", list(MANY))
def test_two_to_four_concepts_of_any_kind_are_composed_and_the_cost_is_said(run, encode, tokens, kind, method):
    prompt, concepts, places = MANY[kind]
    places = places.replace("found", "middle third") if method == "area" else places  # it finds no places
    result = run(prompt=prompt, concepts=concepts, places=places, tokens=tokens, method=method)
    model, conditioning, regions, (boxes,) = result.args
    count, places_given = len(concepts.splitlines()), sum(place != "found" for place in places.splitlines())
    assert len(regions) == count and len(boxes) == places_given
    said = result.ui["text"][0]
    assert f"{count} concepts by {METHODS[method].title}. Cost: " in said
    assert bool(torch.isfinite(drawn(model, conditioning, encode(""), steps=2)).all())


@pytest.fixture
def lora_files(call, tokens, lab_backbone, generator):
    """Two LoRA files of different ranks that change how text is read."""
    for name, rank in (("one", 2), ("two", 5)):
        factors = {
            weight.name: LowRank(
                torch.randn(len(weight.weight), rank, generator=generator),
                torch.randn(rank, weight.weight.shape[1], generator=generator) / 9,
            )
            for weight in lab_backbone.key_value_weights()
        }
        call(SaveAdapterAsLora, tokens=replace(tokens, adapter=factors), name=f"compose/{name}")


def test_each_concept_has_its_own_lora_and_the_model_stays_as_it_was(run, sockets, encode, lora_files):
    plain = drawn(sockets["model"], encode(PLAIN["prompt"]), encode(""))
    pictures = []
    for loras in ("", "compose/one, none", "compose/one strength=0, none", "compose/one, compose/two.safetensors"):
        model, conditioning, *_ = run(loras=loras)
        pictures.append(drawn(model, conditioning, encode("")))
        assert torch.equal(drawn(sockets["model"], encode(PLAIN["prompt"]), encode("")), plain)
    without, one, nothing, both = pictures
    assert torch.equal(without, nothing)
    assert not torch.allclose(without, one) and not torch.allclose(one, both)


@pytest.mark.parametrize("method", ["lora_composer", "concept_conductor"])
def test_things_that_two_methods_learnt_from_two_pictures_are_composed(call, run, learn, sockets, encode, method):
    """ConceptExpress gives a token alone, Break-A-Scene a token and a LoRA, which acts where its own thing is."""
    other = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(9))
    first = learn()[0]
    second = learn(image=other, method="break_a_scene")[0]
    assert second.adapter and not first.adapter
    names = [call(SaveConceptTokens, tokens=one, prefix=name)[0] for one, name in ((first, "one_"), (second, "two_"))]
    lora = call(SaveAdapterAsLora, tokens=second, name="compose/second")[0]
    tokens = call(LoadConceptTokens, clip=sockets["clip"], names="\n".join(name.split("\n")[0] for name in names))[0]
    assert len(tokens.names) == 2
    of_first, of_second = (f"<{name}>" for name in tokens.names)
    given = {"prompt": f"a photo of {of_first} and {of_second}", "concepts": f"{of_first}\n{of_second}"}
    pictures = []
    for loras in ("", f"none, {lora}"):
        model, conditioning, *_ = run(**given, tokens=tokens, method=method, loras=loras)
        pictures.append(drawn(model, conditioning, encode("")))
    assert all(bool(torch.isfinite(one).all()) for one in pictures) and not torch.allclose(*pictures)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loras": "compose/one"}, "2 concepts and 1 LoRA;"),
        ({"loras": "compose/one strength=much, none"}, "expected a number"),
        ({"loras": "none, none", "method": "t2i_zero"}, "keeps no LoRA to the region of its concept"),
        ({"loras": "none, none", "method": "area"}, "keeps no LoRA to the region of its concept"),
    ],
)
def test_loras_that_cannot_be_kept_to_a_region_are_refused(run, lora_files, given, message):
    with pytest.raises(ValueError, match=message):
        run(**given)


def test_without_weight_every_bit_is_the_prompts(run, sockets, encode):
    plain = drawn(sockets["model"], encode(PLAIN["prompt"]), encode(""))
    for method in ("attention_couple", "lora_composer", "attend_and_excite", "localized_refinement"):
        model, conditioning, *_ = run(method=method, places="left weight=0\nright weight=0")
        assert torch.equal(drawn(model, conditioning, encode("")), plain)
