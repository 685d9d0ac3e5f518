"""Captions of a folder of lab scenes, completed and linted."""

import pytest
import torch

from concept_atelier.bench.explain.folders import make_folder
from concept_atelier.lab.model.handles import load_handles
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import CompleteCaptions, LintConcepts, TrainConceptHead


@pytest.fixture(scope="module")
def pair():
    return {"clip_vision": load_vision(), "clip": load_handles()[1]}


@pytest.fixture(scope="module")
def folder():
    """IMAGE of 60 scenes, the words of each, and its caption, in which a quarter of the words is left out."""
    made = make_folder("development", 0, 0, 60)
    words = [word for _, word in made.factors]
    truth = torch.stack([made.present(factor) for factor in made.factors], 1)
    gone = truth & (torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) < 0.25)
    kept = truth & ~gone
    captions = [", ".join(w for w, on in zip(words, row, strict=True) if on) for row in kept.tolist()]
    return made.pictures.movedim(1, -1), words, truth, captions


def test_words_that_were_left_out_come_back(call, pair, folder):
    pictures, words, truth, captions = folder
    given = {"pictures": pictures, **pair, "captions": "\n".join(captions), "vocabulary": ", ".join(words)}
    lines, sheet, report = call(CompleteCaptions, **given)
    added = [
        (number, word)
        for number, (old, new) in enumerate(zip(captions, lines.splitlines(), strict=True))
        for word in new.removeprefix(old.rstrip(" ,.")).split(", ")
        if word
    ]
    right = sum(bool(truth[number, words.index(word)]) for number, word in added)
    assert len(added) >= 3 and right / len(added) >= 0.6
    assert sheet.shape[0] == 1 and report.startswith(f"{len(added)} concepts were added") and "as in picture" in report
    assert call(CompleteCaptions, **given, probability=1.0)[0].splitlines() == captions


def test_captions_get_fewer_words_where_less_is_asked_for(call, pair, folder):
    pictures, words, captions = folder[0][:24], folder[1], folder[3][:24]
    given = {"pictures": pictures, **pair, "captions": "\n".join(captions), "vocabulary": ", ".join(words)}
    given |= {"windows": False, "probability": 0.2}

    def added(**changes):
        lines = call(CompleteCaptions, **given | changes)[0].splitlines()
        return [len(new.split(",")) - len(old.split(",")) for old, new in zip(captions, lines, strict=True)]

    usual = added()
    assert max(usual) > 1 == max(added(most=1))
    assert sum(added(neighbours=1)) < sum(usual) > sum(added(omitted=0.05))
    assert added(windows=True) != usual


def test_captions_that_do_not_fit_the_pictures_are_refused(call, pair, folder):
    given = {"pictures": folder[0][:4], **pair}
    with pytest.raises(ValueError, match="4 pictures and 1 caption;"):
        call(CompleteCaptions, **given, captions="a cat")
    with pytest.raises(ValueError, match="no two concepts"):
        call(CompleteCaptions, **given, captions="cat\n\n\n")
    for node, more in ((CompleteCaptions, given), (LintConcepts, {"names": "a\nb\nc\nd"})):
        with pytest.raises(ValueError, match="there are no captions; put a text file beside each picture"):
            call(node, **more, captions="\n\n\n", vocabulary="cat, dog")
    with pytest.raises(ValueError, match="at least 3"):
        call(CompleteCaptions, pictures=folder[0][:2], **pair, captions="cat\ndog", vocabulary="cat, dog")


TAGS = (
    ["sks dog, red collar, grass"] * 6 + ["sks dog, red collar, sofa"] * 6 + ["cat, sofa", "cat, grass", "dog, grass"]
)


def test_planted_entanglement_is_found_with_its_remedy(call):
    report, prompts = call(LintConcepts, captions="\n".join(TAGS), vocabulary="", trigger="sks dog")
    assert "100% of the captions with the trigger 'sks dog' mention 'red collar', others 0%" in report
    both = "\n".join(TAGS + ["hat, tie"] * 6)
    report, prompts = call(LintConcepts, captions=both, vocabulary="hat, tie, sofa, grass", trigger="")
    assert "'hat' and 'tie' always occur together" in report and "without" in report
    assert {"hat", "tie"} & {word for line in prompts.splitlines() for word in line.split(", ")}
    assert call(LintConcepts, captions=both, vocabulary="hat, tie, sofa", fixes=0)[1] == ""


def test_a_folder_whose_last_picture_has_no_caption_is_judged(call):
    given = {"captions": "cat, sofa\ncat, grass\ndog, grass\n", "vocabulary": "cat, dog, sofa, grass", "fixes": 0}
    assert call(LintConcepts, **given, names="a\nb\nc\nd")[0].endswith("No picture to drop or to add was found.")
    with pytest.raises(ValueError, match="5 pictures and 3 captions"):
        call(LintConcepts, **given | {"captions": given["captions"].strip()}, names="a\nb\nc\nd\ne")


def test_looks_that_no_caption_says_are_found(call, pair):
    red = torch.zeros(6, 64, 64, 3)
    red[..., 0] = 1
    given = {"captions": "\n".join(["a b"] * 6), "vocabulary": "a, b, c", "trigger": "a", "pictures": red, **pair}
    report, _ = call(LintConcepts, **given, looks="on red, on blue")
    assert "100% of the pictures of 'a' look like 'on " in report
    with pytest.raises(ValueError, match="at least two that exclude"):
        call(LintConcepts, **given, looks="on red")
    assert "No caption has the trigger 'z'" in call(LintConcepts, **(given | {"trigger": "z"}))[0]


def test_one_encoder_without_the_other_is_refused(call):
    with pytest.raises(ValueError, match="connect both, or neither"):
        call(LintConcepts, captions="a cat", vocabulary="", trigger="", fixes=1, clip=load_handles()[1])


def test_the_purity_of_words_and_of_a_head_is_said(call, pair, folder):
    pictures, words, truth, captions = folder
    given = {"pictures": pictures, "captions": "\n".join(captions), "vocabulary": ", ".join(words)}
    assert "Oracle Impurity Score of the similarities to the words: " in call(LintConcepts, **given, **pair)[0]
    labels = "\n".join("neon" if on else "other" for on in truth[:, words.index("neon")].tolist())
    head = call(TrainConceptHead, pictures=pictures, **pair, labels=labels, words=", ".join(words), permutations=0)[0]
    said = call(LintConcepts, **given, clip_vision=pair["clip_vision"], head=head)[0]
    assert "Oracle Impurity Score of the values of the head: " in said and "by chance" in said
    with pytest.raises(ValueError, match="connect pictures"):
        call(LintConcepts, captions=given["captions"], vocabulary=given["vocabulary"], head=head)
