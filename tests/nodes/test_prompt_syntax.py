"""ComfyUI's prompt syntax in every node that reads a text: learnt tokens' files say what their words say."""

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.host.adapters import backbone_of
from concept_atelier.host.workflow.stock.texts import CLIPTextEncode
from concept_atelier.nodes import CaptureAttention, EncodeConceptPrompt, LocalizeWords, ShowWordHeatmap

GLUED = "embedding:ecat dog,embedding:sub/erocket"


@pytest.fixture(autouse=True)
def files(here, sockets):
    """Embeddings "ecat" and "sub/erocket" with the rows of their words."""
    backbone = backbone_of(clip=sockets["clip"])
    for name, word in (("ecat", "cat"), ("sub/erocket", "rocket")):
        save_tensors(here.model_target("embeddings", name), {"emb_params": backbone.word_vectors(word)["clip_l"]}, {})


@pytest.fixture
def concept_prompt(call, sockets, tokens):
    return lambda text: call(EncodeConceptPrompt, clip=sockets["clip"], tokens=tokens, text=text)[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a photo of embedding:ecat", "a photo of cat"),
        ("a (embedding:ecat:1.5) and (dog)", "a (cat:1.5) and (dog:1.1)"),
        ("<red>, embedding:sub/erocket", "<1>, rocket"),
    ],
)
def test_encode_concept_prompt(concept_prompt, text, words):
    assert torch.allclose(concept_prompt(text)[0][0], concept_prompt(words)[0][0], atol=1e-5)


def test_encode_concept_prompt_reads_weights_as_the_stock_node_does(call, sockets, concept_prompt):
    stock = call(CLIPTextEncode, clip=sockets["clip"], text="a (photo:1.4) of embedding:ecat")[0]
    assert concept_prompt("a (photo:1.4) of embedding:ecat")[0][0].equal(stock[0][0])
    weighted, plain = (concept_prompt(text)[0][0] for text in ("a (<red>:1.5)", "a <red>"))
    differs = (weighted - plain).abs().amax(-1)[0] > 1e-4
    assert differs.nonzero().flatten().tolist() == [2]


def test_erase_concepts(erase):
    one = erase(concepts="embedding:ecat,embedding:sub/erocket", preserve="(dog:1.2)", anchors="embedding:ecat dog")[1]
    other = erase(concepts="cat, rocket", preserve="(dog:1.2)", anchors="cat dog")[1]
    for name, factor in one.factors.items():
        assert torch.allclose(factor.dense(), other.factors[name].dense(), atol=1e-4)


def test_localize_words(call, sockets, image):
    given = {**sockets, "image": image, "seed": 1}
    one = call(LocalizeWords, **given, words="embedding:sub/erocket,embedding:ecat\n(red dog:1.2)")[0]
    other = call(LocalizeWords, **given, words="rocket, cat, (red dog:1.2)")[0]
    assert one.names == ("erocket", "ecat", "red-dog")
    assert one.masks.equal(other.masks)


def test_show_word_heatmap(call, sockets, draw):
    text = "a (embedding:ecat:1.3) and embedding:sub/erocket"
    listening, capture = call(CaptureAttention, model=sockets["model"], least_grid=1).args
    given = {"capture": capture, "clip": sockets["clip"], "samples": draw(listening, text=text), "text": text}
    shown = [
        call(ShowWordHeatmap, **given, words=words, normalise="absolute")[1]
        for words in ("embedding:ecat,embedding:sub/erocket", "(embedding:ecat), (embedding:sub/erocket:2)")
    ]
    assert len(shown[0]) == 2 and not torch.allclose(shown[0][0], shown[0][1], atol=1e-4)
    assert torch.equal(*shown)
    assert len(call(ShowWordHeatmap, **given, words="")[1]) == 4  # a, the token, and, the token


def test_learn_concept_tokens(learn):
    def vectors(text, start):
        learnt = learn(template=text, start_words=start, steps=1)[0]
        return torch.cat([learnt.vectors[name]["clip_l"] for name in learnt.names])

    one = vectors("a embedding:sub/erocket and {}", "red=embedding:ecat")
    other = vectors("a rocket and {}", "red=cat")
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("given", [{"class_weight": 1.0, "steps": 1}, {"method": "disendiff", "steps": 1}])
def test_class_words(learn, given):
    one = learn(class_words="red=embedding:ecat, green=dog", **given)[0]
    other = learn(class_words="red=cat, green=dog", **given)[0]
    assert torch.allclose(one.vectors["red"]["clip_l"], other.vectors["red"]["clip_l"], atol=1e-5)


def test_glued_names_are_refused_everywhere(call, sockets, image, erase, learn, concept_prompt):
    reads = [
        lambda: concept_prompt(GLUED),
        lambda: call(CLIPTextEncode, clip=sockets["clip"], text=GLUED),
        lambda: erase(concepts='"embedding:sub/erocket"'),
        lambda: erase(preserve="a cat; [embedding:sub/erocket]"),
        lambda: call(LocalizeWords, **sockets, image=image, words='a "embedding:sub/erocket"'),
        lambda: learn(template="a {}-embedding:sub/erocket"),
        lambda: learn(start_words="red=dog;embedding:sub/erocket"),
    ]
    for read in reads:
        with pytest.raises(ValueError, match="embedding:sub/erocket.* right behind .*, where ComfyUI does not read it"):
            read()
