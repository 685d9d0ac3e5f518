import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.core.recognise.heads.features import HeadFeatures, Scaling
from concept_atelier.core.recognise.heads.head import ConceptHead
from concept_atelier.core.recognise.heads.head_files import head_tensors, load_head
from concept_atelier.core.recognise.heads.layer import LayerTask
from concept_atelier.core.recognise.heads.layers.local import PRESENT
from concept_atelier.core.recognise.heads.linear import LinearSettings, fit_linear
from concept_atelier.core.recognise.heads.mixing import MATRIX, matched
from concept_atelier.core.recognise.heads.registry import LAYERS
from concept_atelier.core.recognise.heads.training import (
    HeadSettings,
    balanced,
    check_labels,
    examine_head,
    fit_head,
    folds_of,
)
from concept_atelier.core.recognise.registry import SUBJECTS
from tests.core.explain.conftest import origin

WORDS = tuple(f"word {number}" for number in range(12))
CELLS, WIDTH = 4, 16
QUICK = {name: replace(layer.settings, steps=30) for name, layer in LAYERS.items() if name != "none"}

every_layer = pytest.mark.parametrize("name", list(LAYERS))


def pictures(count=40, seed=0):
    """Features in which word 3 speaks for class 1 and word 7 for class 0; each word has a direction at one position."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    values = torch.randn(count, 12, generator=generator)
    values[:, 3] += 4.0 * labels
    values[:, 7] += 4.0 * (1 - labels)
    tokens = 0.1 * torch.randn(count, CELLS * CELLS, WIDTH, generator=generator)
    tokens[:, 5, :12] += 3 * values  # all of it lies at position 5
    given = HeadFeatures(values, WORDS, origin(site="whole"), "words", None, tokens, (CELLS, CELLS), "8")
    return given, labels


def head_of(name, count=40):
    given, labels = pictures(count)
    fitted = fit_head(given, labels, 2, LAYERS[name], HeadSettings(largest=3), QUICK.get(name))
    return ConceptHead("words", WORDS, ("plain", "loved"), name, fitted, given.origin, given.site), given, labels


def test_the_few_largest_weights_are_those_that_were_planted():
    given, labels = pictures()
    values = Scaling.of(given.values).apply(given.values)
    weights, bias = fit_linear(values, labels, 2, LinearSettings(largest=2))
    for row in weights.abs():
        assert set(row.topk(2).indices.tolist()) == {3, 7} and int((row > 0).sum()) == 2
    assert ((values @ weights.T + bias).argmax(1) == labels).float().mean() > 0.95
    with pytest.raises(ValueError, match="at least one picture"):
        fit_linear(values, labels, 3, LinearSettings())


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(100) >= 90).long()
    values = torch.randn(100, 1, generator=generator) + 1.5 * labels[:, None]
    weights, bias = fit_linear(values, labels, 2, LinearSettings(sparsity=0))
    assert balanced((values @ weights.T + bias).argmax(1), labels, 2) > 0.7


def test_the_solution_is_where_the_gradient_of_the_loss_is_zero():
    given, labels = pictures()
    settings = LinearSettings(largest=0, sparsity=0.0, ridge=0.1)
    weights, bias = fit_linear(given.values, labels, 2, settings)
    weights, bias = weights.requires_grad_(), bias.requires_grad_()
    loss = torch.nn.functional.cross_entropy(given.values @ weights.T + bias, labels)
    (loss + 0.05 * weights.square().sum()).backward()
    assert float(weights.grad.abs().max()) < 1e-3 and float(bias.grad.abs().max()) < 1e-3


@every_layer
def test_every_layer_learns_what_separates_classes_and_says_so(name):
    head, given, labels = head_of(name)
    verdict = head.judge(given)
    assert balanced(verdict.probabilities.argmax(1), labels, 2) > 0.9
    torch.testing.assert_close(verdict.probabilities.sum(1), torch.ones(40))
    assert {reason for reason, _ in head.reasons(1, 2)} <= {"word 3", "word 7"} or name in ("gumbel", "contrastive")
    new, wanted = pictures(20, seed=1)
    assert balanced(head.judge(new).probabilities.argmax(1), wanted, 2) > 0.85


def test_maps_of_a_local_layer_show_where_a_class_is():
    head, given, labels = head_of("local")
    maps = head.judge(given).maps
    loved = maps[labels == 1, 1]
    assert float((loved.argmax(1) == 5).float().mean()) > 0.8


def learnt(name, **changes):
    """A layer's parameters, and the values that it makes of the pictures that it learnt from."""
    given, labels = pictures()
    task, layer = LayerTask(given, labels, 2), LAYERS[name]
    parameters = layer.fit(task, replace(layer.settings, **changes), torch.Generator().manual_seed(0))
    return given, parameters, layer.apply(given, parameters)


def test_the_sparse_layer_mixes_concepts_less_than_one_without_its_loss():
    def mixed(**changes):
        _, parameters, _ = learnt("l1", **changes)
        return float((parameters[MATRIX] * (1 - torch.eye(12))).abs().sum())

    assert mixed() < 0.8 * mixed(weight=0.0)


@pytest.mark.parametrize("name", ["contrastive", "gumbel"])
def test_the_strongest_concept_of_a_picture_stands_out_more_than_without_the_loss(name):
    def apart(**changes):
        given, _, made = learnt(name, **changes)
        return float(matched(made.values, given.values.argmax(1)))

    assert apart() < 0.9 * apart(weight=0.0)


def test_a_local_layer_says_which_concepts_a_picture_has_and_shows_few_at_each_position():
    def losses(**changes):
        given, _, made = learnt("local", **changes)
        shares = made.maps.log_softmax(2)
        absent = (made.values.sigmoid() - (given.values > PRESENT).float()).abs().mean()
        return float(absent), float(-(shares.exp() * shares).sum(2).mean())

    absent, entropy = losses()
    assert absent < 0.9 * losses(presence=0.0)[0] and entropy < 0.95 * losses(locality=0.0)[1]


@every_layer
def test_the_same_seed_gives_the_same_head_and_files_keep_it(name, tmp_path):
    head, given, _ = head_of(name)
    again, _, _ = head_of(name)
    torch.testing.assert_close(head.judge(given).probabilities, again.judge(given).probabilities)
    save_tensors(tmp_path / "head.safetensors", *head_tensors(head))
    loaded = load_head(tmp_path / "head.safetensors")
    torch.testing.assert_close(loaded.judge(given).probabilities, head.judge(given).probabilities)
    assert (loaded.classes, loaded.names, loaded.layer) == (head.classes, WORDS, name)


def test_ingredients_are_kept_in_the_file_of_a_head(tmp_path, examples):
    head, _, _ = head_of("none")
    with_bank = replace(head, bank=SUBJECTS["contrast"].bank(*examples, "dog"))
    save_tensors(tmp_path / "head.safetensors", *head_tensors(with_bank))
    torch.testing.assert_close(load_head(tmp_path / "head.safetensors").bank.directions, with_bank.bank.directions)


def test_labels_in_random_order_are_at_chance_and_real_ones_are_not():
    given, labels = pictures()
    raw = HeadFeatures(given.tokens.mean(1), tuple(map(str, range(WIDTH))), given.origin, "raw")
    steps = []
    report = examine_head(
        given,
        labels,
        2,
        LAYERS["none"],
        HeadSettings(permutations=10),
        raw=raw,
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert report.accuracy > 0.9 and report.probe > 0.85
    assert abs(sum(report.permuted) / 10 - 0.5) < 0.12 and report.luck == pytest.approx(1 / 11)
    assert int(report.confusion.sum()) == 40 and steps[-1] == (55, 55)
    assert examine_head(given, labels, 2, LAYERS["none"], HeadSettings(permutations=0)).luck is None


def test_parts_hold_every_class_and_odd_labels_are_refused():
    labels = torch.tensor([0] * 7 + [1] * 3)
    folds = folds_of(labels, 2, 5, 0)
    assert int(folds.max()) == 2
    assert all(bool((labels[folds == fold] == kind).any()) for fold in range(3) for kind in range(2))
    with pytest.raises(ValueError, match="all 4 pictures are of one"):
        check_labels(torch.zeros(4, dtype=torch.long), ("a",))
    with pytest.raises(ValueError, match="b has 1"):
        check_labels(torch.tensor([0, 0, 1]), ("a", "b"))


def test_another_encoder_and_other_words_are_refused():
    head, given, _ = head_of("none")
    with pytest.raises(ValueError, match="trained on .* have another model"):
        head.judge(replace(given, origin=origin(site="whole", fingerprint=(0.5, 0.5))))
    with pytest.raises(ValueError, match="other concepts"):
        head.judge(replace(given, names=tuple(reversed(WORDS))))


def test_features_that_never_change_and_one_pixel_of_them_are_no_trouble():
    given, labels = pictures()
    flat = replace(given, values=torch.cat([given.values[:, :11], torch.ones(40, 1)], 1))
    for name in LAYERS:
        fitted = fit_head(flat, labels, 2, LAYERS[name], HeadSettings(), QUICK.get(name))
        assert bool(torch.isfinite(fitted.weights).all())
    with pytest.raises(ValueError, match="not finite"):
        replace(given, values=given.values * torch.nan)
    with pytest.raises(ValueError, match="states of positions"):
        fit_head(replace(given, tokens=None), labels, 2, LAYERS["local"], HeadSettings())


@pytest.mark.parametrize("damage", ["format", "layer", "weights", "names", "nan"])
def test_damaged_files_are_refused_by_name(tmp_path, damage):
    tensors, metadata = head_tensors(head_of("l1")[0])
    if damage in ("format", "layer"):
        metadata[damage] = "another"
    elif damage == "weights":
        del tensors["weights"]
    elif damage == "names":
        metadata["names"] = json.dumps(["one"])
    else:
        tensors["weights"] = tensors["weights"] * torch.nan
    path = tmp_path / "broken.safetensors"
    save_tensors(path, tensors, metadata)
    assert load_tensors(path)
    with pytest.raises(ValueError):
        load_head(path)
