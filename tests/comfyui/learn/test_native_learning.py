"""Learning on the user's MODEL in a real ComfyUI, beyond one picture and one method: every method on every family, two
pictures, and a cancelled training that goes on."""

from pathlib import Path

import pytest
import torch

SHORT = {"steps": 2, "preview_every": 0, "keep_every": 0}
FOLDER = Path(__file__).resolve().parents[3] / "core" / "learn" / "methods"
METHODS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
"""Each method has a file of its name; the registry itself is not importable before ComfyUI has loaded the pack."""


@pytest.fixture
def learn(run, parts, image, concepts):
    def go(**changes):
        given = {**parts, "image": image, "concepts": concepts, **SHORT, "class_words": "red=apple, green=fish"}
        return run("LearnConceptTokens", **(given | changes))

    return go


def same(one, other):
    return all(of[encoder].equal(other.vectors[name][encoder]) for name, of in one.vectors.items() for encoder in of)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_leaves_the_model_as_it_was(learn, parts, draw, family, method, uninterrupted):
    before = draw(parts)
    tokens, plot, model = learn(method=method)
    assert tokens.names == ("red", "green") and tokens.family == family and bool(torch.isfinite(tokens.losses).all())
    encoders = {"clip_l", "clip_g"} if family == "sdxl" else set(tokens.vectors["red"])
    assert set(tokens.vectors["red"]) == encoders and len(encoders) == (2 if family == "sdxl" else 1)
    assert (model is not parts["model"]) == bool(tokens.adapter)
    assert draw(parts).equal(before)


def test_concepts_are_matched_in_a_second_picture_and_learnt_from_both(run, parts, learn, image, concepts, draw):
    import dataclasses

    before = draw(parts)
    turned = {"masks": concepts.masks.flip(1), "targets": concepts.targets.flip(1), "names": ("a", "b")}
    given = {"image": image, "concepts": concepts, "other_image": image.flip(1)}
    found = run("MatchConcepts", **parts, **given, other_concepts=dataclasses.replace(concepts, **turned))
    more, others, overlay = found
    assert others.names == ("red", "green") and len(more) == 1 and overlay.shape[-1] == 3
    both, *_ = learn(more=more)
    assert both.metadata["pictures"] == "2" and not same(both, learn()[0])
    assert draw(parts).equal(before)


def test_a_cancelled_learning_goes_on(learn, comfyui, uninterrupted, every_step):
    import comfy.model_management as management
    import comfy.utils

    whole, *_ = learn(steps=4)
    seen = []

    def cancel(done, total, preview, **_):
        seen.append((done, total))
        if (done, total) == (2, 4):
            management.interrupt_current_processing(True)

    comfy.utils.set_progress_bar_global_hook(cancel)
    try:
        with pytest.raises(management.InterruptProcessingException):
            learn(steps=4, keep_every=1)
        seen.clear()
        taken_up, *_ = learn(steps=4, keep_every=1)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert taken_up.metadata["resumed_at"] == "2" and same(whole, taken_up)
    assert [done for done, total in seen if total == 4] == [3, 4]
