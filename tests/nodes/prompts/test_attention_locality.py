"""A dial for words, over the lab model at random weights."""

import pytest
import torch

from concept_atelier.nodes import AttentionLocality

TEXT = "a red cat and a dog"


@pytest.fixture(scope="module")
def made(call, sockets):
    given = {"model": sockets["model"], "clip": sockets["clip"], "text": TEXT, "words": "a red cat\na dog: 0"}
    return lambda **changes: call(AttentionLocality, **{**given, **changes})


def test_a_dial_changes_pictures_and_0_does_not(made, draw, encode, sockets):
    plain = draw(text=TEXT)["samples"]
    model, conditioning, table, *_ = made()
    assert not torch.equal(draw(model=model, positive=conditioning)["samples"], plain) and table == ""
    model, conditioning, *_ = made(dial=0.0)
    assert model is sockets["model"] and torch.equal(draw(model=model, positive=conditioning)["samples"], plain)


def test_sharpness_and_the_span_change_what_is_drawn(made, draw):
    """Of two steps the first stands at 0 and the second behind the middle."""

    def drawn(**changes):
        model, conditioning, *_ = made(**changes)
        return draw(model=model, positive=conditioning)["samples"]

    ways = [drawn(), drawn(sharpness=8.0), drawn(end=0.3), drawn(start=0.3), drawn(dial=0.0)]
    assert not any(torch.allclose(one, other, atol=1e-5) for i, one in enumerate(ways) for other in ways[:i])


def test_a_picture_measures_the_dials(made, image, masks, sockets):
    table = made(image=image, vae=sockets["vae"], masks=masks)[2]
    rows = [line.split(",") for line in table.splitlines()[1:]]
    assert rows[0][:2] == ["a red cat", "1"] and float(rows[0][5]) > float(rows[0][4])
    assert rows[1][1] == "0" and len(rows) == 2


def test_what_cannot_be_meant_is_refused(made, masks, image):
    for given, said in (
        ({"words": "bird"}, "no word of"),
        ({"words": "cat: 2"}, "from -1 to 1"),
        ({"words": "cat: much"}, "a word and its dial"),
        ({"masks": masks[:1]}, "2 words and 1 mask;"),
        ({"image": image}, "connect both"),
    ):
        with pytest.raises(ValueError, match=said):
            made(**given)
