"""Score Concepts."""

import json

import pytest
import torch

from concept_atelier.core.evaluate.prototypes import Prototypes
from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.shared import progress
from concept_atelier.nodes import LoadLabClipVision, ScoreConcepts

SMALL = {"draws": 2, "steps": 1, "filename_prefix": ""}


@pytest.fixture(scope="module")
def score(call, sockets, image, concepts, tokens):
    vision = call(LoadLabClipVision)[0]

    def go(**changes):
        given = {**sockets, "clip_vision": vision, "image": image, "concepts": concepts, "tokens": tokens}
        return call(ScoreConcepts, **given | SMALL | changes)

    return go


def test_everything_it_gives(score, files_below):
    result = score()
    sheet, table, body, sources, pictures = result.args
    assert sheet.shape[0] == 1 and sheet.std() > 0.1
    assert table.splitlines()[0].startswith("concept,sim_i,acc_1,acc_3")
    assert [line.split(",")[0] for line in table.splitlines()[1:]] == ["red", "green", "(all)"]
    read = json.loads(body)
    assert read["settings"]["family"] == "lab" and read["settings"]["draws"] == 2 and not read["settings"]["crop"]
    assert sources.shape == (2, 64, 96, 3) and pictures.shape == (6, 64, 96, 3)
    shown = result.ui
    assert len(shown["images"]) == 1 and shown["text"][0].startswith("<red>: SIM^I ")
    assert files_below() == []


def test_sources_are_cut_from_the_picture(score, image):
    sources = score(ground="black")[3]
    assert torch.allclose(sources[0, 16, 16], image[0, 16, 16]) and sources[0, 40, 72].sum() == 0
    assert torch.allclose(sources[1, 40, 72], image[0, 40, 72]) and sources[1, 16, 16].sum() == 0
    assert score(crop=True)[3].shape == (2, 64, 64, 3)


def test_files_are_written_and_counted_on(score, files_below, here):
    _, table, body, *_ = score(filename_prefix="scores/mine").args
    score(filename_prefix="scores/mine")
    names = [f"out/scores/mine_{number:05}_.{ending}" for number in (1, 2) for ending in ("csv", "json")]
    assert files_below() == sorted(names)
    assert (here.output / "scores/mine_00001_.csv").read_text("utf-8") == table
    assert (here.output / "scores/mine_00002_.json").read_text("utf-8") == body


def test_further_prototypes_are_candidates(score):
    others = Prototypes(("owl", "red"), torch.eye(192)[:2])
    assert json.loads(score(prototypes=others)[2])["candidates"] == ["red", "green", "owl"]


def test_acc_of_the_mean_picture_is_right_or_wrong(score):
    for classify in ("each picture", "mean of pictures"):
        body = json.loads(score(classify=classify, draws=3)[2])
        assert body["settings"]["average"] == (classify != "each picture")
        shares = {row["acc_1"] for row in body["concepts"]}
        assert shares <= ({0.0, 1.0} if body["settings"]["average"] else {0.0, 0.333333, 0.666667, 1.0})


def test_guidance_changes_what_is_drawn(score):
    assert not torch.allclose(score(guidance=1.0)[4], score(guidance=8.0)[4], atol=1e-2)


def test_the_same_seed_gives_the_same_table(score):
    assert score()[1] == score()[1] != score(seed=5)[1]


def test_the_change_of_the_model_is_that_of_the_model_that_is_given(score, learn):
    tuned, _, model = learn(method="break_a_scene", steps=2).args
    plain = ConceptTokens(tuned.vectors, tuned.family)
    with_change, bare = score(tokens=tuned, model=model)[4], score(tokens=tuned)[4]
    assert bare.equal(score(tokens=plain)[4]) and not with_change.equal(bare)


def test_every_pass_is_reported_with_previews(score):
    seen = []
    session = progress.Session(report=lambda step, total, preview: seen.append((step, total, preview)))
    with progress.use(session):
        score(batch=3)
    assert [at[:2] for at in seen] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    assert [preview and preview.size for _, _, preview in seen] == [None, (288, 64), None, (288, 64)]


def test_a_cancelled_run_leaves_no_file_and_no_hook(score, hooks_of, files_below, here):
    session = progress.Session()
    session.report = lambda step, total, preview: setattr(session, "stop", step == 2)
    with progress.use(session), pytest.raises(progress.InterruptedRun):
        score(filename_prefix="scores/mine", steps=20)
    assert hooks_of() == 0 and files_below() == [] and not here.temp.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "a photo"}, "needs exactly one"),
        ({"image": torch.zeros(1, 64, 64, 3)}, "connect the same picture"),
        ({"clip_vision": "none"}, "expected CLIP_VISION, from Load CLIP Vision"),
        ({"filename_prefix": "../x"}, "leave its folder"),
        ({"prototypes": Prototypes(("owl",), torch.ones(1, 5))}, "same picture encoder"),
    ],
)
def test_what_cannot_be_scored(score, files_below, changes, message):
    with pytest.raises(ValueError, match=message):
        score(**changes)
    assert files_below() == []


def test_the_prefix_is_checked_before_a_run():
    assert ScoreConcepts.validate_inputs(filename_prefix="") is True
    assert ScoreConcepts.validate_inputs(filename_prefix=None) is True
    assert "leave its folder" in ScoreConcepts.validate_inputs(filename_prefix="../x")


def test_the_template_is_checked_before_a_run():
    assert ScoreConcepts.validate_inputs() is True and ScoreConcepts.validate_inputs(template="{}") is True
    for wrong in ("", "a photo", "{} {}"):
        assert "exactly one {} where the concepts go" in ScoreConcepts.validate_inputs(template=wrong)
