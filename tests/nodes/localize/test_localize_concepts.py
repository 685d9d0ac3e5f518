"""Localize Concepts: whatever picture comes, sound concepts or a clear error."""

import pytest
import torch

from concept_atelier.core.localize.parts.settings import PAPER, SMALL_GRID
from concept_atelier.host.shared import progress
from concept_atelier.host.shared.families import FAMILIES
from concept_atelier.nodes import ConceptsFromMasks, EditConcepts, LocalizeConcepts
from concept_atelier.nodes.localize import localize_concepts
from concept_atelier.nodes.localize.localize_concepts import UNSET, changed


def test_masks_overlay_and_text_fit_the_concepts(call, sockets, image, here):
    found, masks, overlay, boxes = (result := call(LocalizeConcepts, **sockets, image=image)).args
    assert len(found) >= 1 and found.picture_size == (64, 96)
    assert masks.shape == (len(found), 64, 96) and masks.amax() == 1 and masks.sum(0).amax() <= 1
    assert overlay.ndim == 4 and overlay.shape[-1] == 3 and overlay.shape[1] * 96 == overlay.shape[2] * 64
    for box, mask, name in zip(boxes[0], masks, found.names, strict=True):
        rows, columns = ((mask >= 0.5).any(axis).nonzero().flatten().tolist() for axis in (1, 0))
        assert box["metadata"]["desc"] == name
        assert abs(box["x"] - columns[0]) <= 1 and abs(box["x"] + box["width"] - columns[-1] - 1) <= 1
        assert abs(box["y"] - rows[0]) <= 1 and abs(box["y"] + box["height"] - rows[-1] - 1) <= 1
    (text,) = result.ui["text"]
    assert all(f"<{name}>: saliency" in text for name in found.names)
    assert len(result.ui["images"]) == len(list(here.temp.glob("*.png"))) == 1


def test_same_seed_same_concepts_and_batches_give_their_first_picture(call, sockets, image):
    one = call(LocalizeConcepts, **sockets, image=image, seed=5)[0]
    batch = torch.cat([image, 1 - image])
    again = call(LocalizeConcepts, **sockets, image=batch, seed=5)[0]
    assert torch.equal(one.masks, again.masks) and torch.equal(one.targets, again.targets)
    assert not torch.equal(one.targets, call(LocalizeConcepts, **sockets, image=image, seed=6)[0].targets)


def test_the_bar_moves_and_a_stopped_session_stops_it_between_passes(call, sockets, image, masks, here, hooks_of):
    recorded, hooks = [], hooks_of()
    with progress.use(progress.Session(report=lambda *step: recorded.append(step[:2]))) as session:
        call(LocalizeConcepts, **sockets, image=image)
        total = SMALL_GRID.noise_draws + 1
        assert recorded == [(done, total) for done in range(total + 1)]
        call(ConceptsFromMasks, **sockets, image=image, masks=masks)
        assert recorded[total + 1 :] == recorded[: total + 1]

        def stop(done, *_):
            session.stop = done == 3
            recorded.append(done)

        recorded.clear()
        session.report = stop
        before = set(here.temp.glob("*"))
        with pytest.raises(progress.InterruptedRun):
            call(LocalizeConcepts, **sockets, image=image)
    assert recorded == [0, 1, 2, 3] and set(here.temp.glob("*")) == before and hooks_of() == hooks


def test_zero_means_no_limit_and_numbers_are_limits(call, sockets, image):
    pieces = call(LocalizeConcepts, **sockets, image=image, saliency_threshold=0.0, merge_threshold=0.0)[0]
    assert len(pieces) > 2
    two = call(LocalizeConcepts, **sockets, image=image, saliency_threshold=0.0, merge_threshold=0.0, max_concepts=2)[0]
    assert len(two) == 2
    counted = call(LocalizeConcepts, **sockets, image=image, saliency_threshold=0.0, adjacency=False, count=3)[0]
    assert len(counted) == 3


def test_an_input_that_was_not_changed_keeps_the_value_of_the_preset():
    at_rest = {"min_clusters": 0, "saliency_threshold": UNSET, "merge_threshold": UNSET, "adjacency": True}
    assert changed(at_rest) == {"adjacency": True}
    turned = {"min_clusters": 4, "saliency_threshold": 0.0, "merge_threshold": 0.0, "adjacency": False}
    assert changed(turned) == turned
    assert changed({"outline": "as preset", "neighbour_reach": UNSET}) == {}
    assert changed({"outline": "smooth", "neighbour_reach": 0.0}) == {"outline": "smooth", "neighbour_reach": 0.0}


def test_outlines_follow_edges_unless_they_shall_be_smooth(call, sockets, image):
    edges, smooth, paper = (
        call(LocalizeConcepts, **sockets, image=image, saliency_threshold=0.0, **given).args
        for given in ({}, {"outline": "smooth"}, {"preset": "paper"})
    )
    assert torch.equal(edges[0].masks, smooth[0].masks) and not torch.equal(edges[1], smooth[1])
    assert (edges[0].outline, smooth[0].outline, paper[0].outline) == ("edges", "smooth", "smooth")
    again = call(EditConcepts, concepts=edges[0], image=image)
    assert torch.equal(again[1], edges[1])
    blind = call(EditConcepts, concepts=edges[0])
    assert torch.equal(blind[1], smooth[1]) and blind[0].outline == "edges"


def test_diffseg_cuts_the_whole_picture(call, sockets, image):
    found = call(LocalizeConcepts, **sockets, image=image, preset="diffseg", merge_threshold=0.0)[0]
    assert found.masks.any(0).all() and len(found) >= 2


@pytest.mark.parametrize(
    "shape", [(1, 8, 8, 3), (1, 50, 70, 4), (1, 64, 64, 1), (3, 24, 40, 3), (1, 20, 1200, 3)], ids=str
)
def test_any_size_and_any_channels(call, sockets, shape, generator):
    found, masks, overlay, _ = call(LocalizeConcepts, **sockets, image=torch.rand(shape, generator=generator)).args
    assert len(found) >= 1 and masks.shape[1:] == shape[1:3]
    assert torch.isfinite(overlay).all()


def test_a_picture_of_5000x20(call, sockets, image):
    long = image[:, :20, :1].expand(1, 20, 5000, 3).clone()
    long[:, :, 2000:2600] = 0.9
    found, masks, *_ = call(LocalizeConcepts, **sockets, image=long, preset="paper").args
    assert masks.shape == (len(found), 20, 5000)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (torch.rand(1, 1, 1, 3), "at least 8"),
        (torch.full((1, 64, 64, 3), float("nan")), "NaN or infinite"),
        (torch.full((1, 64, 64, 3), float("inf")), "NaN or infinite"),
        (torch.rand(64, 64, 3), "expected IMAGE: float"),
    ],
)
def test_pictures_that_cannot_be_read(call, sockets, broken, message, here):
    with pytest.raises(ValueError, match=message):
        call(LocalizeConcepts, **sockets, image=broken)
    assert not here.temp.exists()


def test_a_model_of_another_host_is_refused_by_name(call, sockets, image):
    with pytest.raises(ValueError, match="MODEL is a builtins.object, which is read inside ComfyUI only"):
        call(LocalizeConcepts, **(sockets | {"model": object()}), image=image)


def test_a_transformer_is_read_at_its_familys_blocks_and_noise(call, transformer, image):
    def found(**changes):
        return call(LocalizeConcepts, **transformer, image=image, seed=1, saliency_threshold=0.0, **changes)[0]

    plain = found()
    assert torch.equal(plain.targets, found(blocks="2", noise=0.5).targets)
    for changes in ({"blocks": "0-1"}, {"blocks": "all"}, {"noise": 0.1}):
        assert found(**changes).targets.shape[1:] == plain.targets.shape[1:]
        assert not torch.equal(found(**changes).targets, plain.targets), changes


def test_a_unet_has_no_blocks_but_may_be_read_at_any_noise(call, sockets, image):
    given = {**sockets, "image": image, "seed": 1}
    with pytest.raises(ValueError, match="this model is a UNet"):
        call(LocalizeConcepts, **given, blocks="1")
    assert not torch.equal(
        call(LocalizeConcepts, **given, noise=0.9)[0].targets, call(LocalizeConcepts, **given)[0].targets
    )


def test_a_familys_threshold_stands_in_the_presets_place_until_people_set_one(call, transformer, image, monkeypatch):
    read, by_family = [], localize_concepts.read_by

    def read_by(backbone, settings, blocks):
        read.append((settings.saliency_threshold, settings.min_area))
        return by_family(backbone, settings, blocks)

    monkeypatch.setattr(localize_concepts, "read_by", read_by)
    for given in ({}, {"saliency_threshold": SMALL_GRID.saliency_threshold}, {"preset": "paper"}):
        call(LocalizeConcepts, **transformer, image=image, **given)
    own = dict(FAMILIES["lab_flux"].transformer.small)
    assert read[0] == (own["saliency_threshold"], own["min_area"])
    assert read[1] == (SMALL_GRID.saliency_threshold, own["min_area"])
    assert read[2] == (PAPER.saliency_threshold, PAPER.min_area)
