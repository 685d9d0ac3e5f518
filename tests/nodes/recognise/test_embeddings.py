"""Embeddings of scenes of the lab, named and edited, over the lab's own pair of encoders."""

import re

import pytest
import torch

from concept_atelier.bench.explain.folders import make_folder
from concept_atelier.lab.model.handles import load_handles
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import AlignTextAndPictures, DecomposeEmbedding, EditEmbedding


@pytest.fixture(scope="module")
def pair():
    return {"clip_vision": load_vision(), "clip": load_handles()[1]}


@pytest.fixture(scope="module")
def folder():
    made = make_folder("development", 1, 0, 120)
    words = [word for _, word in made.factors]
    truth = torch.stack([made.present(factor) for factor in made.factors], 1)
    captions = [", ".join(w for w, on in zip(words, row, strict=True) if on) for row in truth.tolist()]
    return made.pictures.movedim(1, -1), words, truth, captions


@pytest.fixture(scope="module")
def alignment(call, pair, folder):
    pictures, words, _, captions = folder
    given = {"pictures": pictures[:90], **pair, "captions": "\n".join(captions[:90]), "vocabulary": ", ".join(words)}
    return call(AlignTextAndPictures, **given)


def test_weights_name_what_unseen_pictures_show(call, alignment, pair, folder):
    found, report = alignment
    assert re.search(r"common axes of 90 pictures and captions; correlations from [01]\.\d\d to [01]\.\d\d\.", report)
    assert len(found.names) >= 8
    output = pair["clip_vision"].encode_image(folder[0][90:], crop=False)
    scores, said = call(DecomposeEmbedding, alignment=found, clip_vision_output=output)
    truth = folder[2][90:][:, [folder[1].index(name) for name in found.names]]
    assert float(scores.values[truth].mean()) > 2 * float(scores.values[~truth].mean())
    assert len(said.splitlines()) == 30 and "R2" in said and said.startswith("picture 1: ")
    names = "\n".join(f"{number}.png" for number in range(30))
    assert call(DecomposeEmbedding, alignment=found, clip_vision_output=output, names=names)[1].startswith("0.png: ")


def test_a_prompt_is_decomposed_too(call, alignment, pair):
    from concept_atelier.host.adapters import encode_prompt

    word = alignment[0].names[0]
    conditioning = encode_prompt(pair["clip"], f"a drawing of a {word}", {})
    scores, _ = call(DecomposeEmbedding, alignment=alignment[0], conditioning=conditioning)
    assert scores.names[int(scores.values[0].argmax())] == word
    with pytest.raises(ValueError, match="neither is connected"):
        call(DecomposeEmbedding, alignment=alignment[0])
    without = [[context, {}] for context, _ in conditioning]
    with pytest.raises(ValueError, match="this CONDITIONING has no single vector for its text; connect"):
        call(DecomposeEmbedding, alignment=alignment[0], conditioning=without)


def test_shrinkage_and_axes_change_what_is_learnt(call, pair, folder):
    pictures, words, _, captions = folder
    given = {"pictures": pictures[:40], **pair, "captions": "\n".join(captions[:40]), "vocabulary": ", ".join(words)}

    def shares(**changes):
        return call(AlignTextAndPictures, **given, **changes)[0].axes.correlations

    few = shares(axes=3)
    assert len(few) == 3 and torch.allclose(few, shares()[:3], atol=1e-3)
    assert float(shares(axes=3, shrinkage=0.8).max()) < float(few.max())


def test_higher_sparsity_names_fewer_concepts_and_edits_less(call, alignment, pair, folder):
    output = pair["clip_vision"].encode_image(folder[0][90:96], crop=False)
    given = {"alignment": alignment[0], "clip_vision_output": output}
    many, few = (call(DecomposeEmbedding, **given, sparsity=sparsity)[0].values for sparsity in (0.0, 0.6))
    assert int((few > 0).sum()) < int((many > 0).sum()) and float(few.sum()) < float(many.sum())
    gone = f"{alignment[0].names[int(many.sum(0).argmax())]} = 0"
    far = [
        float(
            (call(EditEmbedding, **given, edits=gone, sparsity=sparsity)[0].image_embeds - output.image_embeds).norm()
        )
        for sparsity in (0.0, 0.6)
    ]
    assert far[1] < far[0]


def test_an_edit_moves_the_embedding_towards_what_it_names(call, alignment, pair, folder):
    found, vision = alignment[0], pair["clip_vision"]
    first, second = found.names[:2]
    shows = folder[2][:, folder[1].index(first)] & ~folder[2][:, folder[1].index(second)]
    output = vision.encode_image(folder[0][shows][:6], crop=False)
    given = {"alignment": found, "clip_vision_output": output, "names": "a\nb\nc\nd\ne\nf"}
    edited, report = call(EditEmbedding, **given, edits=f"{first} -> {second}")
    assert report.startswith("a: ") and report.splitlines()[5].startswith("f: ")
    again = call(DecomposeEmbedding, alignment=found, clip_vision_output=edited)[0].values
    before = call(DecomposeEmbedding, alignment=found, clip_vision_output=output)[0].values
    assert float((again[:, 1] - before[:, 1]).mean()) > 0.2 and float((again[:, 0] - before[:, 0]).mean()) < -0.2
    assert f"{second} 0.00 to " in report and output.image_embeds is not edited.image_embeds
    same = call(EditEmbedding, alignment=found, clip_vision_output=output, edits=f"{first} * 1")[0]
    assert same.image_embeds.equal(output.image_embeds)
    none = call(EditEmbedding, alignment=found, clip_vision_output=output, edits=f"{first} = 0", strength=0.0)[0]
    assert none.image_embeds.equal(output.image_embeds)


def test_faults_are_named(call, alignment, pair, folder):
    given = {"alignment": alignment[0], "clip_vision_output": pair["clip_vision"].encode_image(folder[0][:1])}
    for edits, message in (
        ("", "edits is empty"),
        ("make it nice", "an edit is written as"),
        ("unicorn = 0", "no concept 'unicorn'"),
        (f"{alignment[0].names[0]} * 1.2.3", "an edit is written as"),
    ):
        with pytest.raises(ValueError, match=message):
            call(EditEmbedding, **given, edits=edits)
    narrow = type("Output", (), {"image_embeds": torch.ones(1, 5)})()
    with pytest.raises(ValueError, match="has 5 numbers"):
        call(DecomposeEmbedding, alignment=alignment[0], clip_vision_output=narrow)
    pictures, words, _, captions = folder
    asked = {"pictures": pictures[:20], **pair, "captions": "\n".join(captions[:20]), "vocabulary": ", ".join(words)}
    with pytest.raises(Exception, match="has no positions for a picture"):
        call(AlignTextAndPictures, **asked, reads="positions")
