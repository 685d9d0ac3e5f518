"""Concept vectors of the lab's text encoder at random weights, one of which is planted."""

import copy
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.surgery.traces.reading import TEMPLATES, WordReader, apart, presence
from concept_atelier.core.surgery.traces.vectors import TraceSettings, edited, find_vectors, passes_of, readout

WORDS = ["cat", "dog", "house", "rocket"]
HOW = TraceSettings(count=4, rounds=2)
LAYER, COLUMN = 1, 37


@pytest.fixture(scope="module")
def planted(lab_modules, lab_model):
    """A backbone whose text encoder has a neuron that answers to ``cat`` alone, with a long value vector."""
    from concept_atelier.host.adapters import backbone_of
    from concept_atelier.host.shared.handles import ClipHandle, TextEncoder

    model = copy.deepcopy(lab_modules.text_encoder)
    layer = next(m for name, m in model.named_modules() if name.endswith(f"encoder.layers.{LAYER}.mlp"))
    clip = ClipHandle({"clip_l": TextEncoder(lab_modules.tokenizer, model)}, "lab")
    backbone = backbone_of(lab_model, clip)
    seen = []
    hook = layer.fc1.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    texts = [template.replace("{}", word) for word in WORDS for template in TEMPLATES]
    backbone.encode_text(texts)
    hook.remove()
    last = [backbone.tokenize(text).tokens[-1].position for text in texts]
    rows = seen[0][range(len(texts)), last].unflatten(0, (len(WORDS), len(TEMPLATES)))
    wanted = (rows[0] - rows[1:].mean(0)).mean(0)
    with torch.no_grad():
        weight = 20 * wanted / wanted.square().sum()
        scores = rows @ weight  # of every word in every sentence
        layer.fc1.weight[COLUMN] = weight
        layer.fc1.bias[COLUMN] = -(scores[0].min() + scores[1:].max()) / 2
        layer.fc2.weight[:, COLUMN] = 0.01 * torch.randn(len(weight), generator=torch.Generator().manual_seed(2))
    assert float(scores[0].min()) > float(scores[1:].max())
    return backbone


@pytest.fixture(scope="module")
def found(planted):
    passes = []
    vectors = find_vectors(planted, WORDS[0], WORDS[1:], HOW, passes.append)
    assert sum(passes) == passes_of(len(WORDS), len(TEMPLATES), HOW)
    return vectors


def test_the_planted_vector_is_found_first_and_belongs_to_its_word(found):
    first = found.vectors[0]
    assert (first.layer, first.index) == (LAYER, COLUMN) and first.selective
    assert first.taken > 0.05 and first.taken > max(one.taken for one in found.vectors[1:])
    assert found.left[0] < min(found.left[1:])


def test_setting_it_to_zero_takes_the_planted_direction_out(planted, found):
    reader = WordReader(planted, WORDS)
    original = apart(reader.contexts())
    changes = edited(planted, found.vectors[:1], "scale", 0.0, torch.Generator())
    with planted.text_changed(changes):
        lost = 1 - presence(reader.contexts(), original)
    assert float(lost[0]) == pytest.approx(found.vectors[0].taken, abs=1e-4)
    (change,) = changes["clip_l"].values()
    assert change.dense()[:, :COLUMN].eq(0).all() and change.dense()[:, COLUMN].ne(0).any()
    same = edited(planted, found.vectors, "scale", 1.0, torch.Generator())
    assert all(not bool(one.dense().any()) for one in same["clip_l"].values())


def test_noise_is_as_long_as_its_vector_times_the_amount(planted, found):
    weights = {one.name: one.weight for one in planted.text_weights()}
    changes = edited(planted, found.vectors, "noise", 0.1, torch.Generator().manual_seed(0))
    for name, change in changes["clip_l"].items():
        lengths = change.dense().norm(dim=0)
        moved = lengths > 0
        torch.testing.assert_close(lengths[moved], 0.1 * weights[name].norm(dim=0)[moved], rtol=1e-4, atol=1e-6)
    again = edited(planted, found.vectors, "noise", 0.1, torch.Generator().manual_seed(0))
    assert all(torch.equal(one.up, again["clip_l"][name].up) for name, one in changes["clip_l"].items())


def test_it_gives_words_as_a_hint(planted, found):
    said = readout(planted, found.vectors, 3)
    assert len(said) == 4 and all(len(words) == 3 for words in said)


def test_what_does_not_fit_is_refused(planted, found):
    with pytest.raises(ValueError, match="at least 2 other words"):
        find_vectors(planted, "cat", ["dog"], HOW)
    with pytest.raises(ValueError, match="a word is empty"):
        find_vectors(planted, "cat", ["dog", " "], HOW)
    elsewhere = [replace(found.vectors[0], index=10**6)]
    with pytest.raises(ValueError, match="another text encoder"):
        edited(planted, elsewhere, "scale", 0.0, torch.Generator())
