"""``bench compose``: what is asked, and what is read off a picture."""

import argparse
import dataclasses
import re

import pytest
import torch

from concept_atelier.bench.compose import areas, cases, compose
from concept_atelier.bench.harness import Request


@pytest.mark.parametrize("index", range(6))
def test_a_case_asks_for_as_many_objects_colours_and_boxes(index):
    several, one = compose.wanted("test", 0, index)
    count = (2, 3, 4)[index % 3]
    assert len(several.kinds) == len(set(several.colours)) == len(set(several.boxes)) == count
    covered = torch.stack([compose.mask_of(box) for box in several.boxes]).sum(0)
    assert torch.equal(covered, torch.ones(16, 16))
    assert all(kind.name in several.prompt for kind in several.kinds) and len(one.kinds) == 1
    assert compose.wanted("test", 0, index) == (several, one)


@pytest.mark.parametrize("method", [compose.PLAIN, compose.AREA, *compose.METHODS])
def test_a_case_runs_by_every_method_and_is_the_same_again(method, monkeypatch):
    monkeypatch.setattr(compose, "STEPS", 4)
    of_method = {"preset": "small", "regions": "given"} if method in compose.METHODS else {}
    options = {"method": method} | of_method
    request = Request(1, untrained=True, options=options)
    prepared = compose.prepare(request)
    row = compose.measure(prepared, request, 0)
    assert compose.measure(prepared, request, 0) == row
    figures = compose.figures([row], request)
    assert set(compose.FIGURES) | {"leak_matrix", "keeps_single_concepts"} == set(figures)
    assert figures["exact"]["mean"] in (0.0, 1.0)
    result = {"summary": figures, "options": options, "cases": 1, "split": "test", "seed": 0}
    assert "lost of that against the plain prompt" in compose.table(result)


def test_two_of_a_kind_are_asked_for_in_two_colours():
    several, _ = compose.wanted("test", 0, 1, alike=True)
    assert several.alike and len(set(several.colours)) == 2 == len(set(several.texts))


def test_learnt_tokens_stand_in_place_of_names(monkeypatch):
    """Each for its own object; the prompt says nothing else of it."""
    method = cases.METHODS["conceptexpress"]
    quick = dataclasses.replace(method, presets={"small": dataclasses.replace(method.preset("small"), steps=1)})
    monkeypatch.setattr(cases, "METHODS", {"conceptexpress": quick})
    request = Request(1, untrained=True, options={"method": "plain", "learnt": True})
    row = compose.measure(compose.prepare(request), request, 0)
    assert re.fullmatch("a photo of <[12]> and <[12]>", row["prompt"]) and len(row["objects"]) == 2
    assert compose.figures([row], request)["colours"] is None


def test_an_area_is_predicted_by_its_own_text_and_fades_towards_inner_edges(lab_backbone):
    box = (0, 0, 16, 8)
    weight = areas.area_weight(box, (16, 16))
    assert weight.shape == (16, 8) and torch.equal(weight[0], torch.tensor([1, 1, 1, 1, 1, 1, 1, 0.5]))
    latent, time = torch.randn(1, 4, 16, 16), torch.tensor([500])
    texts = [lab_backbone.encode_text([text]) for text in ("a cat and a dog", "a cat", "")]
    with torch.no_grad():
        _, both = areas.predict_in_areas(lab_backbone, texts[0], [texts[1]], [box], texts[2])(latent, time)
        whole, left = (
            lab_backbone.predict_noise(part, time, text)
            for part, text in ((latent, texts[0]), (latent[..., :8], texts[1]))
        )
    torch.testing.assert_close(both[..., 8:], whole[..., 8:])
    torch.testing.assert_close(both[..., :7], (whole[..., :7] + left[..., :7]) / 2)


@pytest.mark.parametrize("given", [["--set", "of_prompt=1"], ["--preset", "paper"], ["--regions", "found"]])
def test_the_plain_prompt_has_nothing_to_set(given):
    parser = argparse.ArgumentParser()
    compose.add_arguments(parser)
    with pytest.raises(ValueError, match="plain has no settings"):
        compose.main(parser.parse_args(given))
