"""``bench compose``: what is asked, and what is read off a picture."""

import argparse
import contextlib
import dataclasses
import re
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.bench.compose import areas, compose, learning
from concept_atelier.bench.compose.cases import SQUARES, in_a_style, wanted
from concept_atelier.bench.compose.corrected import corrected
from concept_atelier.bench.harness import Request
from concept_atelier.core.attention.words import occurrences
from concept_atelier.core.compose.methods.t2i_zero import SimilaritySettings
from concept_atelier.lab.world.scene import TINTS


@pytest.mark.parametrize("index", range(6))
def test_a_case_asks_for_as_many_objects_colours_and_boxes(index):
    several, one = wanted("test", 0, index)
    count = (2, 3, 4)[index % 3]
    assert len(several.kinds) == len(set(several.colours)) == len(set(several.boxes)) == count
    covered = torch.stack([compose.mask_of(box) for box in several.boxes]).sum(0)
    assert torch.equal(covered, torch.ones(16, 16))
    assert all(kind.name in several.prompt for kind in several.kinds) and len(one.kinds) == 1
    assert wanted("test", 0, index) == (several, one)


@pytest.mark.parametrize("index", range(3))
def test_squares_lie_in_the_middle_of_the_boxes_that_fill_the_picture(index):
    tiles, _ = wanted("test", 0, index)
    squares, one = wanted("test", 0, index, shape=SQUARES)
    assert (squares.kinds, squares.colours, one) == (tiles.kinds, tiles.colours, wanted("test", 0, index)[1])
    for square, tile in zip(squares.boxes, tiles.boxes, strict=True):
        assert square[2] - square[0] == square[3] - square[1] == 8
        assert square[0] + square[2] == tile[0] + tile[2] and square[1] + square[3] == tile[1] + tile[3]
        assert torch.equal(compose.mask_of(square) * compose.mask_of(tile), compose.mask_of(square))


@pytest.fixture(scope="module")
def prepared():
    """The lab model at random weights, and the judge."""
    return compose.prepare(Request(1, untrained=True))


@pytest.mark.parametrize("method", [*compose.METHODS, compose.SIMILARITIES])
def test_a_case_runs_by_every_method_and_is_the_same_again(method, prepared, monkeypatch):
    monkeypatch.setattr(compose, "STEPS", 1)
    named = method not in (compose.PLAIN, compose.AREA, compose.SIMILARITIES)
    of_method = {"preset": "small", "regions": "given"} if named else {}
    options = {"method": method} | of_method
    request = Request(1, untrained=True, options=options)
    row = compose.measure(prepared, request, 0)
    assert compose.measure(prepared, request, 0) | {"seconds": row["seconds"]} == row
    assert row["passes"] >= 2 * compose.STEPS and row["seconds"] > 0
    figures = compose.figures([row], request)
    assert set(compose.FIGURES) | {"leak_matrix", "keeps_single_concepts"} == set(figures)
    assert figures["exact"]["mean"] in (0.0, 1.0)
    result = {"summary": figures, "options": options, "cases": 1, "split": "test", "seed": 0}
    assert "lost of that against the plain prompt" in compose.table(result)


def test_two_of_a_kind_are_asked_for_in_two_colours():
    several, _ = wanted("test", 0, 1, alike=True)
    assert several.alike and len(set(several.colours)) == 2 == len(set(several.texts))


def of_one_step(monkeypatch, name, **changes):
    """A method of learning tokens, which trains for one step."""
    method = learning.METHODS[name]
    settings = dataclasses.replace(method.preset("small"), steps=1, **changes)
    monkeypatch.setattr(learning, "METHODS", {name: dataclasses.replace(method, presets={"small": settings})})


def test_learnt_tokens_stand_in_place_of_names(prepared, monkeypatch):
    """Each for its own object; the prompt says nothing else of it."""
    of_one_step(monkeypatch, "conceptexpress")
    request = Request(1, untrained=True, options={"method": "plain", "learnt": True})
    row = compose.measure(prepared, request, 0)
    assert re.fullmatch("a photo of <[12]> and <[12]>", row["prompt"]) and len(row["objects"]) == 2


def test_tokens_are_learnt_once_and_kept_for_other_ways_of_composing(monkeypatch, untrained, tmp_path):
    """Those of another case or seed are others."""
    of_one_step(monkeypatch, "conceptexpress")
    request = Request(1, untrained=True, options={"learnt": True})
    first = learning.asked_for(untrained, request, 0, 0, tmp_path)
    monkeypatch.setattr(learning, "METHODS", {})  # nothing can be learnt any more
    again = learning.asked_for(untrained, request, 0, 0, tmp_path)
    assert again.several.tokens == first.several.tokens
    for name, of_encoders in first.several.placeholders.items():
        for encoder, rows in of_encoders.items():
            assert torch.equal(again.several.placeholders[name][encoder], rows)
    with pytest.raises(KeyError):
        learning.asked_for(untrained, request, 0, 1, tmp_path)


def test_correction_changes_the_rows_of_the_objects_alone(untrained):
    asked = wanted("test", 0, 0)[0]
    prompt = untrained.encode_text([asked.prompt]).context
    changed = corrected(untrained, asked, SimilaritySettings(strength=0.5)).context
    tokens = untrained.tokenize(asked.prompt)
    places = {place for text in asked.texts for run in occurrences(tokens, text) for place in run}
    assert {int(place) for place in (changed != prompt)[0].any(1).nonzero()} == places
    assert torch.equal(corrected(untrained, asked, SimilaritySettings(strength=0)).context, prompt)


def test_stock_areas_lie_in_the_boxes_of_a_case(lab_backbone):
    """Each in a box (top, left, bottom, right); the cells of the other half are those of the prompt alone."""
    latent, time = torch.randn(1, 4, 16, 16), torch.tensor([500])
    texts = [lab_backbone.encode_text([text]) for text in ("a cat and a dog", "a cat", "")]
    with torch.no_grad():
        _, both = areas.predict_in_areas(lab_backbone, texts[0], [texts[1]], [(8, 0, 16, 16)], texts[2])(latent, time)
        whole = lab_backbone.predict_noise(latent, time, texts[0])
        below = lab_backbone.predict_noise(latent[..., 8:, :], time, texts[1])
    torch.testing.assert_close(both[..., :8, :], whole[..., :8, :])
    torch.testing.assert_close(both[..., 9:, :], (whole[..., 9:, :] + below[..., 1:, :]) / 2)


@pytest.mark.parametrize("given", [["--set", "of_prompt=1"], ["--preset", "paper"], ["--regions", "found"]])
def test_the_plain_prompt_has_nothing_to_set(given):
    parser = argparse.ArgumentParser()
    compose.add_arguments(parser)
    with pytest.raises(ValueError, match="plain has no settings"):
        compose.main(parser.parse_args(given))


def test_sources_are_the_objects_that_tokens_stand_for(monkeypatch, untrained):
    """Of each the mask in the picture it was learnt from: what identity is measured against."""
    of_one_step(monkeypatch, "conceptexpress")
    asked = learning.asked_for(untrained, Request(1, options={"learnt": True}), 0, 0)
    first, second = asked.sources
    assert torch.equal(first.picture, second.picture) and not (first.mask & second.mask).any()
    assert asked.one.tokens == asked.several.tokens[:1] and asked.several.colours == (None, None)


def test_each_of_two_objects_gets_a_lora_of_its_own(monkeypatch, untrained):
    """Methods that keep texts to regions keep each LoRA to its own; with the plain prompt both act everywhere."""
    of_one_step(monkeypatch, "attencraft", prior=0)
    asked = learning.asked_for(untrained, Request(1, options={"loras": True}), 1, 0)
    assert len(asked.several.kinds) == len(asked.several.adapters) == len(asked.sources) == 2
    assert asked.several.prompt == "a photo of <1> and <2>" and len(asked.one.adapters) == 1
    assert not torch.equal(*(source.picture for source in asked.sources))
    composition = compose.composition_of(untrained, asked.several, True, ("regions", "texts"))
    assert all(len(region.adapter) == len(asked.several.adapters[0]) > 0 for region in composition.regions)
    alone = compose.composition_of(untrained, asked.several, True, ("words", "regions"))
    assert not any(region.adapter for region in alone.regions)
    monkeypatch.setattr(compose, "STEPS", 1)
    fused = compose.draw(untrained, asked.several, {"method": "plain"}, 0).picture
    without = dataclasses.replace(asked.several, adapters=())
    assert not torch.equal(fused, compose.draw(untrained, without, {"method": "plain"}, 0).picture)


def test_a_style_is_a_concept_that_lies_everywhere(untrained):
    asked = learning.asked_for(untrained, Request(1, split="test", options={"styled": True}), 0, 0)
    several, _ = wanted("test", 0, 0)
    assert asked.several.kinds == several.kinds and asked.several.boxes == several.boxes
    assert asked.several == in_a_style(several, "test", 0, 0) and asked.several.whole == asked.one.whole != "flat"
    assert asked.several.prompt.endswith(f" in {asked.several.whole} style")
    *things, style = compose.composition_of(untrained, asked.several, given=True).regions
    assert style.text == f"in {asked.several.whole} style" and style.words and bool((style.mask == 1).all())
    *things, style = compose.composition_of(untrained, asked.several, given=False).regions
    assert style.mask is not None and all(thing.mask is None for thing in things)


def test_places_that_words_find_are_told(monkeypatch, untrained):
    """One for each object, without the style's, which is given; nothing where boxes are given."""
    monkeypatch.setattr(compose, "STEPS", 6)
    several = in_a_style(wanted("test", 0, 0)[0], "test", 0, 0)
    options = {"method": "attention_couple", "preset": "small", "regions": "found"}
    places = compose.draw(untrained, several, options, 0).places
    assert places.shape == (2, 16, 16) and bool((places.sum(0) <= 1 + 1e-6).all())
    assert compose.draw(untrained, several, options | {"regions": "given"}, 0).places is None


def test_counting_passes_does_not_change_the_picture_and_counts_latents(monkeypatch, untrained):
    monkeypatch.setattr(compose, "STEPS", 2)
    several = wanted("test", 0, 0)[0]
    drawn = compose.draw(untrained, several, {"method": "plain"}, 0)
    monkeypatch.setattr(compose, "counted_passes", lambda backbone: contextlib.nullcontext(SimpleNamespace(count=0)))
    assert drawn.passes == 4 and torch.equal(
        compose.draw(untrained, several, {"method": "plain"}, 0).picture, drawn.picture
    )


def test_rows_of_before_these_figures_make_a_table():
    row = {"exact": True, "asked": ["cat"], "one": 1.0, "lost": 0.0}
    row["objects"] = [{"found": True, "colour": True, "placed": True, "inside": [1.0], "leak": 0.0}]
    figures = compose.figures([row], Request(1))
    assert figures["leak"]["mean"] == 0 and figures["iou"] is figures["passes"] is figures["identity"] is None
    result = {"summary": figures, "options": {"method": "plain"}, "cases": 1, "split": "test", "seed": 0}
    assert "region IoU" in compose.table(result)


def test_the_world_puts_each_object_into_its_box_in_its_colour():
    """Without asking the judge: where one object alone differs from the background, and in which hue."""
    several, one = wanted("test", 0, 2)
    drawn = compose.draw(None, several, {"method": compose.WORLD}, 2)
    assert drawn.picture.shape == (1, 3, 128, 128) and (drawn.passes, drawn.places) == (0, None)

    def world(*numbers):
        chosen = {name: tuple(getattr(several, name)[n] for n in numbers) for name in ("kinds", "colours", "boxes")}
        return compose.draw(None, dataclasses.replace(several, **chosen), {"method": compose.WORLD}, 2).picture

    empty, hues = world(), torch.tensor(list(TINTS.values())).float()
    hues = hues - hues.mean(1, keepdim=True)
    for number, ((top, left, bottom, right), colour) in enumerate(zip(several.boxes, several.colours, strict=True)):
        differs = (world(number) != empty).any(1)[0]
        places = differs.nonzero()
        low, high = places.amin(0) // 8, places.amax(0) // 8
        assert low[0] >= top and low[1] >= left and high[0] < bottom and high[1] < right
        assert int((places.amax(0) - places.amin(0)).max()) + 1 >= 8 * 0.8 * min(bottom - top, right - left)
        seen = drawn.picture[0][:, differs].mean(1)
        alike = torch.nn.functional.cosine_similarity(seen - seen.mean(), hues)
        assert list(TINTS)[int(alike.argmax())] == colour
    alone = compose.draw(None, one, {"method": compose.WORLD}, 2).picture
    size = (alone != empty).any(1)[0].nonzero()
    assert int((size.amax(0) - size.amin(0)).max()) < 0.7 * 128  # a box of the whole picture is not filled


@pytest.mark.parametrize("kind", ["--learnt", "--loras"])
def test_the_world_draws_no_learnt_tokens(kind):
    parser = argparse.ArgumentParser()
    compose.add_arguments(parser)
    with pytest.raises(ValueError, match=f"leave out {kind}"):
        compose.main(parser.parse_args(["--method", "world", kind]))


def test_one_kind_of_objects_is_asked_for_at_a_time():
    parser = argparse.ArgumentParser()
    compose.add_arguments(parser)
    with pytest.raises(ValueError, match="--alike and --styled ask for different objects"):
        compose.main(parser.parse_args(["--alike", "--styled"]))
