"""Parts of a concept at an earlier layer."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.explain.activations import Activations
from concept_atelier.core.explain.bank import ConceptCodes
from concept_atelier.core.explain.bank_files import bank_tensors, load_bank
from concept_atelier.core.explain.recursion import as_parts, inside, parent_of, positions_of, said_of
from concept_atelier.core.explain.registry import METHODS, encode
from concept_atelier.core.files import save_tensors
from tests.core.explain.conftest import origin
from tests.core.explain.test_bank import bank


@pytest.fixture(scope="module")
def later():
    """Codes of two concepts in twelve pictures on a grid of 2x2: the first one lies in the upper left corner."""
    values = torch.zeros(12, 4, 2)
    values[:, 0, 0], values[:, 3, 1] = 1.0, 1.0
    found = bank(2, 2, names=("face", "2"), directions=torch.eye(2))
    return ConceptCodes(values, (2, 2), found)


@pytest.fixture(scope="module")
def earlier():
    """Activations of the same pictures on a grid of 8x8: two textures in the corner where the face is, and a third one,
    stronger, everywhere else."""
    rows = torch.zeros(12, 8, 8, 6)
    rows[..., 2] = 5.0
    rows[:, :4, :4] = 0
    rows[:, :4, :2, 0], rows[:, :4, 2:4, 1] = 1.0, 1.0
    noise = 0.01 * torch.rand(rows.shape, generator=torch.Generator().manual_seed(0))
    return Activations((rows + noise).flatten(1, 2), (8, 8), origin(site="16", width=6))


def test_positions_lie_where_the_concept_is(later, earlier):
    where = positions_of(later, 0, earlier).view(12, 8, 8)
    assert bool(where[:, :3, :3].all()) and not bool(where[:, 5:].any()) and not bool(where[:, :, 5:].any())


@pytest.fixture(scope="module")
def parts(later, earlier):
    method = METHODS["nmf"]
    found = method.bank(earlier, 2, method.preset("small"), seeds=1, within=positions_of(later, 0, earlier))
    return as_parts(found, later, 0)


def test_parts_are_those_of_the_concept_alone(parts, later, earlier):
    assert parts.names == ("1.1", "1.2") and parent_of(parts, later) == 0
    assert sorted(parts.directions.argmax(1).tolist()) == [0, 1]  # not the third texture, which is everywhere else
    codes = inside(encode(parts, earlier), later, earlier)
    assert float(codes.values.view(12, 8, 8, 2)[:, 5:].max()) == 0 and float(codes.values.max()) > 0
    assert said_of(parts) == "Parts of ingredient 1 (face) of the layer 4."


def test_parts_come_back_from_their_file(parts, tmp_path, later):
    save_tensors(tmp_path / "parts.safetensors", *bank_tensors(parts))
    again = load_bank(tmp_path / "parts.safetensors")
    assert again.names == parts.names and parent_of(again, later) == 0 and said_of(again) == said_of(parts)


def test_what_has_no_parts_is_refused(later, earlier, parts):
    with pytest.raises(ValueError, match="none of these pictures shows the ingredient face"):
        positions_of(replace(later, values=torch.zeros(12, 4, 2)), 0, earlier)
    with pytest.raises(ValueError, match="looked for in 12 pictures, and the activations are of 3"):
        positions_of(later, 0, earlier.part(slice(3)))
    with pytest.raises(ValueError, match="no parts of an ingredient"):
        parent_of(later.bank, later)
    assert said_of(later.bank) == ""
