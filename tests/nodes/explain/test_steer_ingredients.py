"""Ingredients as levers while a picture is sampled, over the lab model at random weights."""

import pytest
import torch

from concept_atelier.host.adapters import encode_prompt
from concept_atelier.host.headless.sampling import sample
from concept_atelier.nodes import FindIngredients, RecordActivations, SteerIngredients


@pytest.fixture(scope="module")
def recorded(call, sockets):
    pictures = torch.rand(4, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    return call(RecordActivations, pictures=pictures, **sockets)[0]


@pytest.fixture(scope="module")
def bank(call, recorded):
    return call(FindIngredients, activations=recorded, count=3, method="kmeans", fits=1)[0]


def drawn(model, sockets):
    text = encode_prompt(sockets["clip"], "cat", {})
    latent = {"samples": torch.zeros(2, 4, 8, 8)}
    return sample(model, text, text, latent, seed=1, steps=3, cfg=3.0)["samples"]


def test_strength_0_gives_the_model_itself(call, bank, sockets):
    given = {"model": sockets["model"], "clip": sockets["clip"], "bank": bank, "strength": 0.0}
    assert call(SteerIngredients, **given)[0] is sockets["model"]


def test_where_nothing_is_found_the_picture_is_bit_identical(call, bank, sockets):
    given = {"model": sockets["model"], "clip": sockets["clip"], "bank": bank, "ingredients": "1, 2, 3"}
    steered = call(SteerIngredients, **given, threshold=1.0)[0]
    assert torch.equal(drawn(steered, sockets), drawn(sockets["model"], sockets))


def test_replacing_everywhere_draws_what_stands_instead(call, bank, sockets):
    """With every cell found, pictures are those of the other prompt under the same guidance."""
    given = {"model": sockets["model"], "clip": sockets["clip"], "bank": bank, "ingredients": "1, 2, 3"}
    steered = call(SteerIngredients, **given, threshold=0.0, instead="dog")[0]
    found = drawn(steered, sockets)
    dog, empty = (encode_prompt(sockets["clip"], text, {}) for text in ("dog", ""))
    latent = {"samples": torch.zeros(2, 4, 8, 8)}
    wanted = sample(sockets["model"], dog, empty, latent, seed=1, steps=3, cfg=3.0)["samples"]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("how", ["add", "attenuate"])
def test_a_layer_is_changed_and_only_in_the_span(call, bank, recorded, sockets, how, hooks_of):
    given = {"model": sockets["model"], "clip": sockets["clip"], "bank": bank, "how": how, "strength": 3.0}
    given |= {"shows": recorded, "lacks": recorded, "ingredients": "1, 2, 3"}
    before, plain = hooks_of(), drawn(sockets["model"], sockets)
    assert not torch.equal(drawn(call(SteerIngredients, **given)[0], sockets), plain)
    between = call(SteerIngredients, **given, start=0.2, end=0.3)[0]  # three steps stand at 0, one half and 1
    assert torch.equal(drawn(between, sockets), plain) and hooks_of() == before


def test_pictures_with_and_without_serve_attenuation_and_the_most_change_bounds_it(call, bank, sockets):
    pictures = torch.rand(2, 4, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    given = {**sockets, "bank": bank, "how": "attenuate", "strength": 3.0, "ingredients": "1, 2, 3"}
    given |= {"shows_pictures": pictures[0], "lacks_pictures": pictures[1]}
    plain = drawn(sockets["model"], sockets)
    moved, bounded = (
        (drawn(call(SteerIngredients, **given, most_change=most)[0], sockets) - plain).abs().max()
        for most in (0.5, 0.0)
    )
    assert float(moved) > 0 == float(bounded)


def test_what_does_not_fit_is_refused(call, bank, recorded, sockets, transformer):
    given = {"clip": sockets["clip"], "bank": bank}
    with pytest.raises(ValueError, match="attenuate needs pictures"):
        call(SteerIngredients, model=sockets["model"], **given, how="attenuate")
    for half, said in (({"shows": recorded}, "lacks is not"), ({"lacks_pictures": torch.rand(1, 64, 64, 3)}, "shows_")):
        with pytest.raises(ValueError, match=said):
            call(SteerIngredients, model=sockets["model"], **given, how="attenuate", **half)
    with pytest.raises(ValueError, match="no layer fits|another model|instead of"):
        call(SteerIngredients, **(given | {"model": transformer["model"], "clip": transformer["clip"]}))
    with pytest.raises(ValueError, match="there is no ingredient '9'"):
        call(SteerIngredients, model=sockets["model"], **given, ingredients="9")
    assert SteerIngredients.validate_inputs(ingredients=" ") != True  # noqa: E712
