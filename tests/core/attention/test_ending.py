"""Passes that end at the last layer that is read."""

import pytest
import torch

from concept_atelier.core.attention.ending import run_to
from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.attention.selection import Selection

LATENT = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(1))
TIME = torch.tensor([40])


@torch.no_grad()
def recorded(backbone, run, sites):
    conditioning = backbone.encode_text(["a cat"])
    recorder = AttentionRecorder(Selection(sites=tuple(site.name for site in sites)))
    with recorder.recording(backbone):
        run(conditioning)
    return recorder.maps()


@pytest.mark.parametrize("count", [1, 7, 19])
def test_the_maps_are_those_of_a_whole_pass(lab_backbone, count):
    sites = lab_backbone.attention_sites()[:count]
    whole = recorded(lab_backbone, lambda text: lab_backbone.predict_noise(LATENT, TIME, text), sites)
    ended = recorded(lab_backbone, lambda text: run_to(lab_backbone, sites[-1], LATENT, TIME, text), sites)
    for kind in ("self_attention", "cross"):
        one, other = getattr(whole, kind), getattr(ended, kind)
        assert list(one) == list(other) and all(one[grid].equal(other[grid]) for grid in one)
    assert whole.self_counts == ended.self_counts and whole.cross_counts == ended.cross_counts


@torch.no_grad()
def test_nothing_runs_after_it_and_nothing_stays(lab_backbone):
    conditioning, sites = lab_backbone.encode_text(["a cat"]), lab_backbone.attention_sites()
    before, calls = lab_backbone.predict_noise(LATENT, TIME, conditioning), []
    with lab_backbone.tap_attention(lambda call: calls.append(call.site)):
        run_to(lab_backbone, sites[4], LATENT, TIME, conditioning)
        assert calls == list(sites[:5])
        run_to(lab_backbone, sites[-1], LATENT, TIME, conditioning)
    assert len(calls) == 5 + len(sites)
    assert lab_backbone.predict_noise(LATENT, TIME, conditioning).equal(before)


@torch.no_grad()
def test_with_an_edit_the_pass_ends_behind_it_and_the_edit_counts(lab_backbone):
    text, sites, edited, seen = lab_backbone.encode_text(["a cat"]), lab_backbone.attention_sites(), [], []

    def edit(inputs):
        edited.append(inputs.call.site)
        return torch.zeros_like(inputs.call.query)

    for edit_of in (edit, lambda inputs: None):
        with lab_backbone.tap_attention(lambda call: seen.append(call.query), sites[4:5]):
            run_to(lab_backbone, sites[4], LATENT, TIME, text, edit_of)
    assert edited == list(sites[:5]) and not seen[0].equal(seen[1])


@torch.no_grad()
def test_other_errors_of_a_pass_are_not_hidden(lab_backbone):
    def fail(call):
        raise InterruptedError

    sites = lab_backbone.attention_sites()
    with pytest.raises(InterruptedError), lab_backbone.tap_attention(fail, sites[:1]):
        run_to(lab_backbone, sites[-1], LATENT, TIME, lab_backbone.encode_text(["a cat"]))
