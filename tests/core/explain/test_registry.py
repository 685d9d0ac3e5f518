"""What every method of finding ingredients promises, on activations whose ingredients are known."""

from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.explain import finder
from concept_atelier.core.explain.activations import Activations
from concept_atelier.core.explain.bank_files import bank_tensors, load_bank
from concept_atelier.core.explain.parts.factorise import factorise
from concept_atelier.core.explain.parts.measures import matched_cosines
from concept_atelier.core.explain.registry import METHODS, encode
from concept_atelier.core.files import save_tensors
from tests.core.explain.conftest import FACTORS, origin

QUICK = {name: {"steps": 300} if name.endswith("sae") else {} for name in METHODS}


def found(name, planted, count=FACTORS, seeds=2, **changes):
    method = METHODS[name]
    settings = replace(method.preset("small"), **{**QUICK[name], **changes})
    return method.bank(planted[0], count, settings, seed=1, seeds=seeds)


@pytest.fixture(scope="module")
def banks(planted):
    return {name: found(name, planted) for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_a_bank_is_unit_directions_with_codes_of_every_position(name, banks, planted):
    bank, activations = banks[name], planted[0]
    torch.testing.assert_close(bank.directions.norm(dim=1), torch.ones(FACTORS))
    codes = encode(bank, activations)
    assert codes.values.shape == (40, 16, FACTORS) and float(codes.values.min()) >= 0
    assert codes.maps().shape == (40, FACTORS, 4, 4)
    assert bool((bank.stability <= 1 + 1e-5).all()) and bool((bank.peaks > 0).all())
    assert 0 < float(bank.metadata["explained"]) <= 1


def test_coding_can_be_ended_before_every_part(banks, planted, monkeypatch):
    asked = []
    whole = encode(banks["semi_nmf"], planted[0], lambda: asked.append("whole")).values
    monkeypatch.setattr(finder, "CODED_ROWS", 100)
    parts = encode(banks["semi_nmf"], planted[0], lambda: asked.append("part")).values
    assert asked == ["whole"] + ["part"] * 7  # of 40 pictures with 16 positions each
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-4)

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        encode(banks["semi_nmf"], planted[0], stop)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_finds_the_same(name, banks, planted):
    assert torch.equal(found(name, planted).directions, banks[name].directions)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_works_in_inference_mode_as_nodes_do(name, planted):
    with torch.inference_mode():
        activations = Activations(planted[0].rows.clone(), (4, 4), origin())
        changes = {"steps": 3} if name.endswith("sae") else {}
        settings = replace(METHODS[name].preset("small"), **changes)
        bank = METHODS[name].bank(activations, 3, settings, seeds=1)
        assert len(bank) == 3 and encode(bank, activations).values.shape == (40, 16, 3)


@pytest.mark.parametrize("name", METHODS)
def test_a_bank_comes_back_from_its_file(name, banks, planted, tmp_path):
    path = tmp_path / "bank.safetensors"
    save_tensors(path, *bank_tensors(banks[name]))
    again = load_bank(path)
    assert again.names == banks[name].names and again.origin == banks[name].origin
    torch.testing.assert_close(
        encode(again, planted[0]).values, encode(banks[name], planted[0]).values, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_has_a_help_text_and_a_cost(name):
    for preset in METHODS[name].presets.values():
        assert all(entry.metadata.get("help") for entry in fields(preset)) and preset.cost
    assert list(METHODS[name].presets) == ["paper", "small"]


def test_nmf_recovers_planted_factors(banks, planted):
    """The known answer: the directions themselves, up to order (Hungarian cosine above 0.95), and how strongly each
    position uses them."""
    bank = banks["nmf"]
    assert float(matched_cosines(planted[1], [bank.directions]).min()) > 0.95
    assert float(bank.stability.min()) > 0.95 and float(bank.metadata["explained"]) > 0.99


@pytest.fixture(scope="module")
def signed():
    """Signed directions, and codes of which each position uses one."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(FACTORS, 24, generator=generator), dim=1)
    chosen = torch.randint(FACTORS, (60, 16), generator=generator)
    codes = torch.nn.functional.one_hot(chosen, FACTORS) * (1 + torch.rand(60, 16, 1, generator=generator))
    return directions, codes


def test_semi_nmf_recovers_planted_directions_of_any_sign(signed):
    directions, codes = signed
    rows = (codes @ directions).flatten(0, 1)
    made = factorise(rows, FACTORS, torch.Generator().manual_seed(0), 200, nonnegative=False)
    assert float(matched_cosines(directions, [made]).min()) > 0.95


def test_a_sparse_autoencoder_uses_one_ingredient_where_one_was_planted(signed):
    directions, codes = signed
    activations, method = Activations(codes @ directions, (4, 4), origin()), METHODS["topk_sae"]
    settings = replace(method.preset("small"), scaled=False, active=1, steps=400)
    used = encode(method.bank(activations, FACTORS, settings, seeds=1), activations).values.flatten(0, 1)  # (n, K)
    alike = torch.corrcoef(torch.cat([used, codes.flatten(0, 1)], 1).T)[:FACTORS, FACTORS:]
    assert float(alike.nan_to_num().amax(0).min()) > 0.9


def test_concepts_that_depend_on_each_other_are_recovered_up_to_a_linear_map():
    """The known answer of the theorem behind the structured autoencoder: rows are a linear map of the log posteriors of
    concepts, of which every second one mostly comes with the one before it. What codes say is these, up to a linear
    map."""
    generator, count, concepts = torch.Generator().manual_seed(0), 3200, 8
    there = torch.zeros(count, concepts)
    for index in range(concepts):
        share = torch.full((count,), 0.15)
        if index % 2:
            share = torch.where(there[:, index - 1] > 0, torch.tensor(0.85), torch.tensor(0.05))
        there[:, index] = (torch.rand(count, generator=generator) < share).float()
    noisy = 3 * (2 * there - 1) + 0.15 * torch.randn(count, concepts, generator=generator)
    posteriors = torch.nn.functional.logsigmoid(noisy)
    rows = posteriors @ torch.randn(concepts, 24, generator=generator) / 24**0.5
    activations, method = Activations(rows.view(200, 16, 24), (4, 4), origin()), METHODS["structured_sae"]
    settings = replace(method.preset("small"), scaled=False)
    bank = method.bank(activations, concepts, settings, seed=1, seeds=1)
    codes = encode(bank, activations).values.flatten(0, 1)
    known = torch.cat([codes, torch.ones(count, 1)], 1).double()
    left = posteriors - known @ torch.linalg.lstsq(known, posteriors.double()).solution
    spread = (posteriors - posteriors.mean(0)).square().sum(0)
    assert float((1 - left.square().sum(0) / spread).mean()) > 0.95
    dependence = bank.extra["dependence"]
    assert bool((dependence.diagonal() == 0).all()) and float(dependence.min()) >= 0
    assert float(dependence.sum(0).max()) <= 0.8 + 1e-5


def test_data_points_are_rows_of_the_data(planted):
    bank = found("data_points", planted, scaled=False)
    rows = torch.nn.functional.normalize(bank.prepared(planted[0].rows.flatten(0, 1)), dim=1)
    assert float((bank.directions @ rows.T).amax(1).min()) > 1 - 1e-5


def test_what_every_half_of_the_pictures_shows_is_found_in_either_half(planted, tmp_path):
    method = METHODS["nmf"]
    bank = method.bank(planted[0], FACTORS, method.preset("small"), seed=1, seeds=1, halves=True)
    assert bank.halves is not None and float(bank.halves.min()) > 0.9
    bank = replace(bank, origin=replace(bank.origin, text="a cat"))
    save_tensors(tmp_path / "bank.safetensors", *bank_tensors(bank))
    again = load_bank(tmp_path / "bank.safetensors")
    assert again.origin == bank.origin and "under 'a cat'" in again.origin.title
    assert again.halves is not None and torch.equal(again.halves, bank.halves)


def test_what_one_picture_alone_shows_is_not_found_in_both_halves():
    """Two directions are in every picture, and a third one, strong, in one."""
    generator = torch.Generator().manual_seed(5)
    codes = torch.rand(20, 16, 3, generator=generator)
    codes[..., 2] = 0
    codes[7, :, 2] = 8.0
    directions = torch.eye(3, 12)
    noise = 0.02 * torch.rand(20, 16, 12, generator=generator)
    activations, method = Activations(codes @ directions + noise, (4, 4), origin(width=12)), METHODS["nmf"]
    bank = method.bank(activations, 3, method.preset("small"), seeds=1, halves=True)
    rare = int(bank.directions[:, 2].argmax())
    others = [index for index in range(3) if index != rare]
    assert float(bank.halves[rare]) < 0.9 < float(bank.halves[others].min())


def test_nmf_refuses_negative_activations(planted):
    negative = Activations(planted[0].rows - 1, (4, 4), origin())
    with pytest.raises(ValueError, match="choose semi_nmf"):
        METHODS["nmf"].bank(negative, 2)


@pytest.mark.parametrize(
    ("changes", "message"), [({"count": 0}, "1 to"), ({"count": 9999}, "1 to"), ({"seeds": 0}, "seeds")]
)
def test_numbers_out_of_range_are_refused(changes, message, planted):
    with pytest.raises(ValueError, match=message):
        METHODS["pca"].bank(planted[0], **({"count": 2} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"site": "8"}, "site 8 instead of 4"),
        ({"fingerprint": (1.0, 3.0)}, "another model"),
        ({"noise": 0.5}, "noise 0.5 instead of None"),
    ],
)
def test_a_bank_refuses_activations_of_another_origin_in_one_sentence(changes, message, banks, planted):
    other = Activations(planted[0].rows, (4, 4), origin(**changes))
    with pytest.raises(ValueError, match=message) as caught:
        encode(banks["pca"], other)
    assert ". " not in str(caught.value)


def test_a_bank_refuses_another_width_first(banks):
    with pytest.raises(ValueError, match="25 numbers per position instead of 24"):
        encode(banks["pca"], Activations(torch.zeros(1, 16, 25), (4, 4), origin(width=25)))


def test_rounded_weights_are_the_same_model(banks, planted):
    near = Activations(planted[0].rows, (4, 4), origin(fingerprint=(1.001, 2.0)))
    assert len(encode(banks["pca"], near).values) == 40


@pytest.mark.parametrize("name", ["semi_nmf", "nmf", "topk_sae", "batch_topk_sae", "ra_sae", "structured_sae"])
def test_long_fits_say_how_far_they_are_and_end_when_asked(planted, name):
    method, steps = METHODS[name], []
    changes = {"steps": 5} if name.endswith("sae") else {"iterations": 5}
    settings = replace(method.preset("small"), **changes)

    def report(done, total):
        steps.append((done, total))
        if done > 130:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.bank(planted[0], 4, settings, seeds=2, on_step=report)
    assert steps[0] == (0, 200) and steps == sorted(steps) and len(steps) > 4
    assert (100, 200) in steps and 130 < steps[-1][0] < 200
