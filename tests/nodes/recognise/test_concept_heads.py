"""Concept heads over the lab's own pair of encoders: what one likes is found, kept in a file, and used."""

import pytest
import torch

from concept_atelier.host.shared.errors import UnsupportedModelError
from concept_atelier.lab.model.handles import load_handles
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.lab.world.scene import SceneSettings, sample_scene
from concept_atelier.nodes import (
    FindIngredients,
    LearnPrototypes,
    LoadConceptHead,
    PickBestOfBatch,
    RecordActivations,
    SaveConceptHead,
    ScoreByConceptHead,
    TrainConceptHead,
)

WORDS = "flat, outline, neon, sketch, red, green, blue, yellow, cat, dog, house, car"
QUICK = {"words": WORDS, "permutations": 2}


@pytest.fixture(scope="module")
def pair():
    return {"clip_vision": load_vision(), "clip": load_handles()[1]}


@pytest.fixture(scope="module")
def scenes():
    """Scenes of one object: 12 neon ones, 12 others, and 8 of either kind that are kept apart."""
    liked, others, seed = [], [], 0
    while min(len(liked), len(others)) < 16:
        scene = sample_scene("train", seed, SceneSettings(counts=(1,)))
        picture = torch.from_numpy(scene.picture.copy()).float() / 255
        (liked if scene.objects[0].style == "neon" else others).append(picture)
        seed += 1
    return {
        "liked": torch.stack(liked[:12]),
        "disliked": torch.stack(others[:12]),
        "new": torch.stack(liked[12:16] + others[12:16]),
    }


@pytest.fixture(scope="module")
def taste(call, pair, scenes):
    return call(TrainConceptHead, pictures=scenes["liked"], disliked=scenes["disliked"], **pair, **QUICK)


def test_what_one_likes_is_named_and_its_worth_is_said(taste):
    head, chart, report = taste
    assert head.classes == ("liked", "disliked") and head.reasons(0)[0][0] == "neon" and head.reasons(0)[0][1] > 0
    assert len(head.reasons(0)) <= 5 and "12 liked, 12 disliked" in report and "linear probe" in report
    assert float(head.metadata["accuracy"]) > 0.75 and chart.shape[0] == 1


def test_new_pictures_are_scored_and_the_best_are_picked(call, pair, taste, scenes, here):
    saved = call(SaveConceptHead, head=taste[0], name="test/taste")[0]
    head = call(LoadConceptHead, name=saved)[0]
    names = "\n".join(f"{number}.png" for number in range(8))
    given = {"head": head, "pictures": scenes["new"], "clip_vision": pair["clip_vision"], "names": names}
    scores, masks, report = call(ScoreByConceptHead, **given)
    assert [line.split(": ")[0] for line in report.splitlines()] == names.splitlines() == list(scores.pictures)
    right = (scores.values[:, 0] > 0.5) == (torch.arange(8) < 4)
    assert float(right.float().mean()) >= 0.75 and "neon" in report
    assert masks.shape == scenes["new"].shape[:3] and float(masks.max()) == 0
    said = list(zip(scores.values[:, 0].tolist(), scores.reasons, strict=True))
    assert any("no neon" in reason for liked, reason in said if liked < 0.5)
    assert all("no neon" not in reason for liked, reason in said if liked > 0.9)
    best = call(PickBestOfBatch, pictures=scenes["new"], scores=scores, by="liked", count=1)[0]
    assert any(torch.allclose(best[0], one, atol=1e-6) for one in scenes["new"][:4])


def test_a_local_layer_shows_where(call, pair, scenes):
    given = {"pictures": scenes["liked"], "disliked": scenes["disliked"], **pair, **QUICK, "permutations": 0}
    head, _, report = call(TrainConceptHead, **given, layer="local", settings="steps=20")
    _, masks, _ = call(
        ScoreByConceptHead, head=head, pictures=scenes["new"], clip_vision=pair["clip_vision"], by="liked"
    )
    assert float(masks.max()) == 1 and "random order" not in report
    with pytest.raises(ValueError, match="no class 'loved'"):
        call(ScoreByConceptHead, head=head, pictures=scenes["new"], clip_vision=pair["clip_vision"], by="loved")


def test_ingredients_and_raw_numbers_serve_as_features(call, pair, scenes):
    every = torch.cat([scenes["liked"], scenes["disliked"]])
    vision = pair["clip_vision"]
    recorded = call(RecordActivations, pictures=every, clip_vision=vision)[0]
    bank = call(FindIngredients, activations=recorded, count=8, method="kmeans")[0]
    labels = "\n".join(["neon"] * 12 + ["other"] * 12)
    given = {"pictures": every, "clip_vision": vision, "labels": labels, "permutations": 0}
    head = call(TrainConceptHead, **given, features="ingredients", bank=bank, activations=recorded)[0]
    scores, masks, _ = call(ScoreByConceptHead, head=head, pictures=every, activations=recorded)
    assert scores.names == ("neon", "other") and float(masks.max()) == 1
    raw = call(TrainConceptHead, **given, features="raw numbers", largest=0)[0]
    assert float(raw.metadata["accuracy"]) > 0.8
    with pytest.raises(ValueError, match="need a CONCEPT_BANK and the ACTIVATIONS"):
        call(TrainConceptHead, **given, features="ingredients", bank=bank)


def test_dictionaries_and_prototypes_serve_as_features(call, pair, scenes):
    every = torch.cat([scenes["liked"], scenes["disliked"]])
    recorded = call(RecordActivations, pictures=every, clip_vision=pair["clip_vision"])[0]
    masks = torch.zeros(24, *every.shape[1:3])
    masks[:12, 16:-16, 16:-16] = 1
    dictionary = call(FindIngredients, activations=recorded, count=16, method="topk_sae")[0]
    prototypes = call(LearnPrototypes, activations=recorded, masks=masks, name="liked", method="prototypes")[0]
    labels = "\n".join(["neon"] * 12 + ["other"] * 12)
    for bank in (dictionary, prototypes):
        given = {"pictures": every, "labels": labels, "permutations": 0, "features": "ingredients", "bank": bank}
        given["clip_vision"] = pair["clip_vision"]
        head = call(TrainConceptHead, **given, activations=recorded)[0]
        assert head.names == bank.names and float(head.metadata["accuracy"]) > 0.7


def test_liked_and_disliked_pictures_may_be_of_other_sizes(call, pair, scenes):
    head = call(TrainConceptHead, pictures=scenes["liked"], disliked=scenes["disliked"][:, ::2, ::2], **pair, **QUICK)
    assert head[0].classes == ("liked", "disliked")


def test_faults_are_named(call, pair, scenes):
    given = {"pictures": scenes["liked"], **pair, **QUICK}
    for changes, message in (
        ({}, "connect disliked pictures, or write a class"),
        ({"labels": "a\nb"}, "12 pictures and 2 labels"),
        ({"labels": "a\n" * 12}, "all 12 pictures are of one"),
        ({"labels": "a\n" * 11 + "b"}, "b has 1"),
        ({"labels": "a\n" * 12, "disliked": scenes["disliked"]}, "give one of them"),
        ({"disliked": scenes["disliked"], "clip": None}, "need the CLIP"),
        ({"disliked": scenes["disliked"], "layer": "local", "features": "raw numbers"}, "needs features of the kind"),
    ):
        with pytest.raises(ValueError, match=message):
            call(TrainConceptHead, **(given | changes))


def test_another_encoder_is_refused(call, pair, taste, scenes):
    class Other:
        def __init__(self):
            self.model = torch.nn.Linear(3, 3)

        def encode_image(self, image, crop=True):
            return type("Output", (), {"image_embeds": torch.ones(len(image), 192)})()

    with pytest.raises(ValueError, match="was trained on lab image tower"):
        call(ScoreByConceptHead, head=taste[0], pictures=scenes["new"], clip_vision=Other())
    with pytest.raises(ValueError, match="need a CLIP_VISION"):
        call(ScoreByConceptHead, head=taste[0], pictures=scenes["new"])
    with pytest.raises(UnsupportedModelError, match="were not trained together"):
        call(
            TrainConceptHead,
            pictures=scenes["liked"],
            disliked=scenes["disliked"],
            clip_vision=Other(),
            clip=pair["clip"],
            **QUICK,
        )
