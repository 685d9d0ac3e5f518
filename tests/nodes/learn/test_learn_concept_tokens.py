"""Learn Concept Tokens: what comes out, and that nothing of a stopped run stays behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.core.types import Source
from concept_atelier.host.jobs.learn.token_previews import BAND
from concept_atelier.host.shared import progress


def same(one, other):
    return one.names == other.names and all(
        torch.equal(one.vectors[name]["clip_l"], other.vectors[name]["clip_l"]) for name in one.names
    )


def test_a_token_per_concept_and_the_curve_of_its_loss(learn, here):
    tokens, plot, model = (result := learn()).args
    assert model.patches == ()
    assert tokens.names == ("red", "green") and len(tokens.losses) == 3
    assert all(vectors["clip_l"].shape == (1, 192) for vectors in tokens.vectors.values())
    assert plot.shape[0] == 1 and plot.shape[-1] == 3 and plot.std() > 0
    assert len(result.ui["images"]) == len(list(here.temp.glob("*.png"))) == 1


def test_the_last_preview_is_shown_above_the_curve(learn, here):
    shown = [here.temp / picture["filename"] for picture in learn(preview_every=2).ui["images"]]
    assert len(shown) == 2
    with Image.open(shown[0]) as preview, Image.open(shown[1]) as curve:
        assert preview.height == 128 + 2 * BAND  # the picture and two lines of words
        assert curve.height not in (preview.height, 128)


def test_of_a_batch_the_first_picture_is_learnt_from_and_it_is_reported(learn, tokens, image):
    result = learn(image=torch.cat([image, 1 - image]))
    assert same(result.args[0], tokens)
    assert "Of the 2 pictures of image, the first was read." in "".join(result.ui["text"])


def test_widgets_reach_the_training(learn):
    given = {"learning_rate": 0.02, "attention_weight": 0.5, "flip": 0.0, "start_words": "red=apple"}
    metadata = learn(**given, seed=4, steps=1, template="{} on blue")[0].metadata
    settings = json.loads(metadata["settings"])
    assert [settings[key] for key in ("rate", "attention_weight", "flip", "steps")] == [0.02, 0.5, 0.0, 1]
    assert settings["template"] == "{} on blue" and settings["alignment"] == "divergence"
    assert metadata["seed"] == "4" and json.loads(metadata["words"]) == {"red": "apple"}


def test_weights_of_pictures_reach_the_training(learn, image, concepts):
    other = Source(image.movedim(-1, 1).flip(-1), replace(concepts, masks=concepts.masks.flip(-1)))
    result = learn(steps=2, more=(other,), picture_weights="adaptive, 1, 0.5")
    metadata = result[0].metadata
    assert json.loads(metadata["weights"]) == [1.0, 0.5] and json.loads(metadata["settings"])["adaptive_rate"] == 2
    assert "own loss at the end" in "".join(result.ui["text"])
    with pytest.raises(ValueError, match="there is 1 picture and 2 weights"):
        learn(picture_weights="1, 0.5")
    with pytest.raises(ValueError, match="two or more"):
        learn(picture_weights="adaptive=1")


def test_the_method_and_its_words_reach_the_training(learn):
    given = {"method": "cones", "class_words": "red=apple, green=fish", "class_weight": 0.5}
    metadata = learn(**given, steps=1)[0].metadata
    settings = json.loads(metadata["settings"])
    assert metadata["method"] == "cones" and settings["fit_steps"] > 0 and settings["class_weight"] == 0.5
    assert json.loads(metadata["classes"]) == {"red": "apple", "green": "fish"}


def test_every_step_is_reported_and_previews_do_not_change_what_is_learnt(learn, tokens):
    seen = []
    session = progress.Session(report=lambda step, total, preview: seen.append((step, total, preview)))
    with progress.use(session):
        assert same(learn(preview_every=2)[0], tokens)
    assert [(step, total) for step, total, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    # Two pictures of 96x64, enlarged for their captions.
    assert [preview and preview.size for _, _, preview in seen] == [None, *[(384, 128 + 2 * BAND)] * 2]


def test_another_seed_gives_other_tokens(learn, tokens):
    assert not same(learn(seed=1)[0], tokens)


def test_a_cancelled_run_leaves_no_file_and_no_hook_and_the_next_is_as_before(
    learn, tokens, lab_modules, hooks_of, files_below, here
):
    before = {name: weight.clone() for name, weight in lab_modules.unet.state_dict().items()}
    session = progress.Session()
    session.report = lambda step, total, preview: setattr(session, "stop", step == 2)
    with progress.use(session), pytest.raises(progress.InterruptedRun):
        learn(steps=50)
    assert hooks_of() == 0 and files_below() == [] and not here.temp.exists()
    assert all(torch.equal(weight, before[name]) for name, weight in lab_modules.unet.state_dict().items())
    assert not any(p.grad is not None for p in lab_modules.unet.parameters())
    assert same(learn()[0], tokens)


def test_a_cancelled_run_goes_on_from_its_last_state(learn, tokens, files_below, here):
    session = progress.Session()
    session.report = lambda step, total, preview: setattr(session, "stop", step == 1)
    with progress.use(session), pytest.raises(progress.InterruptedRun):
        learn(keep_every=1)
    assert [path.suffix for path in map(Path, files_below())] == [".safetensors"]
    seen = []
    with progress.use(progress.Session(report=lambda step, total, preview: seen.append(step))):
        taken_up = learn(keep_every=1)[0]
    assert seen == [2, 3] and taken_up.metadata["resumed_at"] == "1"
    assert same(taken_up, tokens)
    assert [path for path in map(Path, files_below()) if path.suffix == ".safetensors"] == []


def test_a_state_that_is_wrong_inside_is_set_aside_and_the_node_says_so(learn, tokens, files_below, here):
    session = progress.Session()
    session.report = lambda step, total, preview: setattr(session, "stop", step == 1)
    with progress.use(session), pytest.raises(progress.InterruptedRun):
        learn(keep_every=1)
    (path,) = files_below()
    tensors, metadata = load_tensors(here.output.parent / path)
    save_tensors(here.output.parent / path, {**tensors, "phase": torch.tensor(9)}, metadata)
    made = learn(keep_every=1)
    assert "the training started anew: phase is 9" in made.ui["text"][0] and same(made[0], tokens)
    assert [p for p in files_below() if "unfinished" in p] == [f"{path}.bad"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "a photo"}, "needs exactly one"),
        ({"start_words": "apple"}, "concept=word"),
        ({"start_words": "blue=apple"}, "a concept 'blue'; there are red, green"),
        ({"class_words": "blue=apple"}, "class words name a concept 'blue'"),
        ({"class_weight": 1.0}, "no concept has a class word"),
        ({"method": "cones", "attention_weight": 0.1}, "leave it at -1"),
        ({"method": "cones", "preset": "faithful"}, "it has paper, small"),
        ({"image": torch.full((1, 64, 96, 3), float("nan"))}, "NaN or infinite values"),
        ({"image": torch.zeros(1, 64, 64, 3)}, "belong to a picture of"),
        ({"image": torch.zeros(1, 1, 1, 3)}, "belong to a picture of"),
    ],
)
def test_what_cannot_be_learnt_from(learn, hooks_of, files_below, changes, message):
    with pytest.raises(ValueError, match=message):
        learn(**changes)
    assert hooks_of() == 0 and files_below() == []


def test_a_method_that_tunes_the_model_gives_a_changed_model_and_leaves_the_given_one(learn, sockets):
    tokens, _, model = learn(method="break_a_scene", steps=2).args
    assert tokens.adapter and sockets["model"].patches == ()
    assert set(model.patches[0].factors) == set(tokens.adapter) and model.patches[0].strength == 1
