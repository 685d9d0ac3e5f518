"""Localize Concepts on ComfyUI's patchers and on diffusers: the same masks; its bar, and cancel between passes."""

from types import SimpleNamespace

import pytest
import torch

SCENES = (5, 7, 11)


@pytest.fixture(scope="module")
def headless(pack):
    """MODEL, CLIP and VAE of the lab model over diffusers and transformers."""
    return dict(zip(("model", "clip", "vae"), pack("lab.model.handles").load_handles(), strict=True))


@pytest.fixture
def scene(pack):
    """IMAGE (1, 128, 128, 3) of the lab's world."""

    def go(index):
        return torch.tensor(pack("lab.world.scene").sample_scene("development", index).picture).float()[None] / 255

    return go


def overlap(one, other):
    """The least intersection over union of two MASKs, mask by mask."""
    one, other = one > 0.5, other > 0.5
    return float(((one & other).sum((1, 2)) / (one | other).sum((1, 2))).min())


@pytest.fixture
def both(parts_of, headless, run, scene):
    """What Localize Concepts finds in a scene on either host."""

    def go(preset, index):
        given = {"image": scene(index), "preset": preset, "seed": index}
        return [run("LocalizeConcepts", **parts, **given) for parts in (parts_of("lab"), headless)]

    return go


def assert_same(ours, theirs):
    assert ours[0].names == theirs[0].names and ours[0].notes == theirs[0].notes
    assert ours[1].shape == theirs[1].shape and overlap(ours[1], theirs[1]) >= 0.99
    torch.testing.assert_close(ours[0].targets, theirs[0].targets, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours[0].scores, theirs[0].scores, rtol=1e-3, atol=0)


@pytest.mark.parametrize("index", SCENES)
def test_the_masks_are_those_of_the_headless_host(both, index):
    assert_same(*both("small", index))


def test_the_masks_of_the_paper_are_those_of_the_headless_host(both):
    """``paper`` joins parts that are nearer than the longest link of pre-clustering. Where two links tie, rounding
    decides, and it differs between hosts and processors: one scene of six may have another number of concepts."""
    found = [both("paper", index) for index in (2, 4, 5, 6, 7, 11)]
    alike = [pair for pair in found if pair[0][0].names == pair[1][0].names]
    assert len(alike) >= 5
    for pair in alike:
        assert_same(*pair)


def test_the_pictures_it_is_compared_on_differ(parts_of, run, scene):
    """Else the test above could not fail: masks of other pictures and of other seeds are not the same."""
    found = {
        (i, s): run("LocalizeConcepts", **parts_of("lab"), image=scene(i), seed=s) for i in SCENES for s in (i, 99)
    }
    masks = [found[i, i][1] for i in SCENES]
    assert all(
        one.shape != other.shape or overlap(one, other) < 0.9 for one in masks for other in masks if one is not other
    )
    assert not any(torch.equal(found[i, i][0].targets, found[i, 99][0].targets) for i in SCENES)


def test_the_bar_shows_every_pass(parts, run, image, bar):
    run("LocalizeConcepts", **parts, image=image)
    assert bar.steps[0] == (0, 9) and bar.steps[-1] == (9, 9) and bar.steps == sorted(set(bar.steps))


@pytest.fixture
def passes(pack, monkeypatch):
    """Counts model passes; ``passes.cancel_in`` cancels during the pass of that number."""
    import comfy.model_management as management

    counted = SimpleNamespace(done=0, cancel_in=None)
    backbone = pack("host.comfy.backbone").ComfyBackbone
    predict = backbone.predict_noise

    def counting(*given):
        counted.done += 1
        if counted.done == counted.cancel_in:
            management.interrupt_current_processing(True)
        return predict(*given)

    monkeypatch.setattr(backbone, "predict_noise", counting)
    return counted


@pytest.mark.parametrize("node", ["LocalizeConcepts", "ConceptsFromMasks"])
def test_cancel_between_passes_leaves_the_model_as_it_was(parts, run, image, masks, draw, passes, uninterrupted, node):
    import comfy.model_management as management

    given = {**parts, "image": image} | ({"masks": masks} if node == "ConceptsFromMasks" else {})
    before, found = draw(parts), run(node, **given)[0]
    assert passes.done == 8
    passes.done, passes.cancel_in = 0, 3
    with pytest.raises(management.InterruptProcessingException):
        run(node, **given)
    assert passes.done == 3
    passes.cancel_in = None
    assert draw(parts).equal(before)
    again = run(node, **given)[0]
    assert again.masks.equal(found.masks) and again.targets.equal(found.targets)


def test_all_pictures_of_a_batch_are_learnt_from_by_their_weights(run, parts_of, image):
    parts, batch = parts_of("lab"), torch.cat([image, image.flip(2)])
    words = {"words": "cat", "seed": 1, "margin": 0.0, "fill": True, "all_pictures": True}
    concepts, *_, more = run("LocalizeWords", **parts, image=batch, **words)
    assert len(more) == 1
    how = {"steps": 1, "preview_every": 0, "keep_every": 0, "picture_weights": "adaptive, 1, 0.5", "mask_weight": 0.01}
    learnt = run("LearnConceptTokens", **parts, image=batch, concepts=concepts, more=more, start_words="cat=cat", **how)
    assert "picture_weights" in learnt[0].metadata and learnt[0].metadata["pictures"] == "2"
