"""Classes with concepts, diverse prompts and the best of a batch, over the lab's own pair of encoders."""

import pytest
import torch

from concept_atelier.host.jobs.recognise.prompts import prompts_of, read_classes
from concept_atelier.host.shared.errors import UnsupportedModelError
from concept_atelier.lab.model.handles import load_handles
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.lab.world.scene import SceneSettings, sample_scene
from concept_atelier.nodes import ClassifyByConceptMatrix, PickBestOfBatch, PickDiversePrompts, ScoreByConcepts

TEMPLATE = "a {concept} drawing of a {class}"


@pytest.fixture(scope="module")
def pair():
    return {"clip_vision": load_vision(), "clip": load_handles()[1]}


@pytest.fixture(scope="module")
def scenes():
    """Four scenes of one object each, of two kinds or more."""
    found = [sample_scene("train", seed, SceneSettings(counts=(1,))) for seed in range(4)]
    pictures = torch.stack([torch.from_numpy(scene.picture.copy()).float() / 255 for scene in found])
    return pictures, [scene.objects[0].name for scene in found]


@pytest.fixture(scope="module")
def scored(call, pair, scenes):
    pictures, names = scenes
    classes = "\n".join(f"{name}: flat, outline, neon, sketch" for name in dict.fromkeys(names))
    return call(ScoreByConcepts, pictures=pictures, **pair, classes=classes, template=TEMPLATE)


def test_pictures_go_to_their_classes_and_say_why(scored, scenes):
    scores, report = scored
    assert [scores.names[index] for index in scores.values.argmax(1).tolist()] == scenes[1]
    torch.testing.assert_close(scores.values.sum(1), torch.ones(4))
    assert len(report.splitlines()) == len(scores.reasons) == 4 and scenes[1][0] in report.splitlines()[0]


def test_the_best_of_a_batch_is_picked_with_its_reason(call, scored, scenes):
    scores, (pictures, names) = scored[0], scenes
    best, sheet, report = call(PickBestOfBatch, pictures=pictures, scores=scores, by=names[2], count=1)
    assert torch.allclose(best[0], pictures[int(scores.values[:, scores.names.index(names[2])].argmax())])
    assert len(sheet) == 1 and report.count("\n") == 0 and "%" in report
    assert len(call(PickBestOfBatch, pictures=pictures, scores=scores, count=9)[0]) == 4
    with pytest.raises(ValueError, match="these scores have no 'unicorn'"):
        call(PickBestOfBatch, pictures=pictures, scores=scores, by="unicorn")
    with pytest.raises(ValueError, match="of 4 pictures, and 2 are connected"):
        call(PickBestOfBatch, pictures=pictures[:2], scores=scores)


def test_reports_name_the_pictures_of_a_folder(call, pair, scenes):
    pictures, things = scenes
    names = [f"{letter}.png" for letter in "dcba"]
    given = {"pictures": pictures, **pair, "names": "\n".join(names)}
    classes = "\n".join(f"{name}: flat, outline" for name in dict.fromkeys(things))
    scores, report = call(ScoreByConcepts, **given, classes=classes, template=TEMPLATE)
    assert [line.split(": ")[0] for line in report.splitlines()] == names and scores.pictures == tuple(names)
    _, report = call(ClassifyByConceptMatrix, **given, classes=", ".join(set(things)), concepts="flat, neon, outline")
    assert [line.split(": ")[0] for line in report.splitlines()] == names
    best = int(scores.values.amax(1).argmax())
    picked = {"pictures": pictures, "scores": scores}
    sheet, report = call(PickBestOfBatch, **picked)[1:]
    assert report.startswith(f"{names[best]}: ")
    other_sheet, report = call(PickBestOfBatch, **picked, names="e\nf\ng\nh")[1:]
    assert report.startswith(f"{'efgh'[best]}: ") and not torch.equal(sheet, other_sheet)
    with pytest.raises(ValueError, match="3 names were given for 4 pictures; connect NAMES"):
        call(ScoreByConcepts, **given | {"names": "a\nb\nc"}, classes=classes, template=TEMPLATE)


def test_diverse_prompts_keep_their_words_and_leave_copies(call, pair):
    prompts = "a red cat\na red cat\na drawing of a rocket on blue\na red cat on white\n"
    picked = call(PickDiversePrompts, clip=pair["clip"], prompts=prompts, count=2)[0]
    assert picked.splitlines() == ["a red cat", "a drawing of a rocket on blue"]
    with pytest.raises(ValueError, match="prompts is empty"):
        call(PickDiversePrompts, clip=pair["clip"], prompts=" \n")


def test_a_concept_matrix_names_a_class_and_what_spoke_for_it(call, pair, scenes):
    pictures, names = scenes
    kinds = ", ".join(dict.fromkeys(names))
    given = {"classes": kinds, "concepts": f"{kinds}, red, green, neon, flat", "template": "a drawing of a {}"}
    scores, report = call(ClassifyByConceptMatrix, pictures=pictures, **pair, **given)
    right = sum(scores.names[row] == name for row, name in zip(scores.values.argmax(1).tolist(), names, strict=True))
    assert right >= 3 and len(report.splitlines()) == 4


def test_the_bound_and_the_columns_and_the_reference_change_scores(call, pair, scenes):
    pictures, names = scenes
    kinds = list(dict.fromkeys(names))
    given = {"pictures": pictures, **pair, "template": TEMPLATE}
    classes = "\n".join(f"{name}: flat, outline, neon, sketch" for name in kinds)
    bound, free = (call(ScoreByConcepts, **given, classes=classes, upper=upper)[0].values for upper in (1.0, 0.0))
    assert not torch.allclose(bound.log(), free.log(), rtol=0.05)
    given |= {"classes": ", ".join(kinds), "concepts": "red, green, neon, flat", "template": "a drawing of a {}"}

    def values(**changes):
        return call(ClassifyByConceptMatrix, **given | changes)[0].values

    alone = {"pictures": pictures[:1]}
    torch.testing.assert_close(values(**alone, reference=pictures), values()[:1], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(values(**alone), values()[:1], atol=1e-2)
    assert not torch.allclose(values(columns="sum"), values(), atol=1e-2)


def test_classes_are_read_and_faults_are_named(call, pair, scenes):
    assert read_classes("cat: a, b\n\ndog") == {"cat": ("a", "b"), "dog": ()}
    assert prompts_of("cat", ("a", "b", "c"), "{class} with {concept}", 2)[0] == ("cat with a or b", "a or b")
    assert prompts_of("cat", (), "a photo of a {class} with {concept}", 2) == [("a photo of a cat", "cat")]
    for text, message in (("cat: a", "at least two classes"), ("cat: a\ncat: b\ndog: c", "written twice")):
        assert message in str(ScoreByConcepts.validate_inputs(classes=text))
    assert "must hold {class} and {concept}" in str(ScoreByConcepts.validate_inputs(template="a photo of {}"))
    assert ScoreByConcepts.validate_inputs() is True


def test_encoders_that_are_no_pair_are_refused(call, pair, scenes):
    class Other:
        def encode_image(self, image, crop=True):
            return type("Output", (), {"image_embeds": torch.ones(len(image), 192)})()

    with pytest.raises(UnsupportedModelError, match="were not trained together"):
        call(ScoreByConcepts, pictures=scenes[0], clip_vision=Other(), clip=pair["clip"], template=TEMPLATE)
