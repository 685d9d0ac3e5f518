"""Load Erasure: the same effect from the file, for the model it was made on alone."""

import pytest
import torch

from concept_atelier.nodes import LoadErasure, SaveErasureAsLora


@pytest.fixture
def saved(call, erase):
    erased, erasure, _ = erase(concepts="cat, kitty", anchors="dog", preserve="crab").args
    return erased, call(SaveErasureAsLora, erasure=erasure)[0]


def test_a_loaded_erasure_draws_what_the_erased_model_draws_and_says_its_lists(call, saved, sockets, draw):
    erased, name = saved
    loaded = call(LoadErasure, model=sockets["model"], name=name)
    assert torch.equal(draw(loaded[0])["samples"], draw(erased)["samples"])
    first, second, *_ = loaded.ui.as_dict()["text"][0].splitlines()
    assert (first, second) == ("cat is read as dog", "kitty is read as dog")
    none = call(LoadErasure, model=sockets["model"], name=name.removesuffix(".safetensors"), strength=0.0)
    assert torch.equal(draw(none[0])["samples"], draw()["samples"])


def test_another_model_is_refused(call, saved, sockets, erase):
    other = erase(concepts="tree", strength=3.0)[0]
    with pytest.raises(ValueError, match="was made on another model"):
        call(LoadErasure, model=other, name=saved[1])


def test_it_runs_again_when_the_file_changes(call, erase, saved):
    before = LoadErasure.fingerprint_inputs(name=saved[1])
    assert before == LoadErasure.fingerprint_inputs(name=saved[1])
    call(SaveErasureAsLora, erasure=erase(concepts="tree")[1])
    assert LoadErasure.fingerprint_inputs(name=saved[1]) != before


def test_a_file_that_is_not_there_is_said(call, sockets):
    with pytest.raises(FileNotFoundError, match="nothing"):
        call(LoadErasure, model=sockets["model"], name="nothing")


def test_saving_says_which_kind_of_file_it_is(call, erase):
    said = call(SaveErasureAsLora, erasure=erase()[1]).ui.as_dict()["text"][0]
    assert "a LoRA of rank" in said
    whole = erase(method="mace", preset="paper", concepts="cat, tree, boat, house, shoe")[1]
    assert "(.diff)" in call(SaveErasureAsLora, erasure=whole, name="whole").ui.as_dict()["text"][0]


def test_a_change_of_the_text_encoder_is_loaded_with_its_clip(call, erase, sockets, encode):
    erased = erase(method="hirm", preset="small", settings="steps=3", damping=0.5)
    name = call(SaveErasureAsLora, erasure=erased[1], name="misled")[0]
    with pytest.raises(ValueError, match="changes the text encoder; connect the CLIP"):
        call(LoadErasure, model=sockets["model"], name=name)
    loaded = call(LoadErasure, model=sockets["model"], clip=sockets["clip"], name=name)
    assert loaded[0] is sockets["model"] and "weights of the text encoder change" in loaded.ui.as_dict()["text"][0]
    contexts = [text_of(call, clip) for clip in (sockets["clip"], erased[2], loaded[2])]
    assert torch.equal(contexts[2], contexts[1]) and not torch.allclose(contexts[1], contexts[0], atol=1e-3)
    none = call(LoadErasure, model=sockets["model"], clip=sockets["clip"], name=name, strength=0.0)[2]
    assert torch.equal(text_of(call, none), contexts[0])
    with pytest.raises(ValueError, match="made on another text encoder"):
        call(
            LoadErasure,
            model=sockets["model"],
            clip=erase(method="hirm", damping=0.5, settings="steps=40, rate=0.1")[2],
            name=name,
        )


def text_of(call, clip):
    from concept_atelier.host.workflow.stock import CLIPTextEncode

    return call(CLIPTextEncode, clip=clip, text="a cat")[0][0][0]
