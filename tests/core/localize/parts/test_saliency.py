import pytest
import torch

from concept_atelier.core.localize.parts.saliency import (
    border_cells,
    border_saliency,
    combine_saliency,
    end_of_text_saliency,
    is_flat,
    minmax,
)
from concept_atelier.core.localize.parts.settings import LocalizeSettings


@pytest.fixture
def scene(labels_of, attention_of):
    """One object inside, one cut by the edge, one in the corner, on 16x20 cells."""
    labels = labels_of((16, 20), [(4, 3, 6, 6), (0, 13, 5, 5), (12, 16, 4, 4)])
    return labels, attention_of(labels)


def test_end_of_text_is_the_mean_of_its_grids_from_0_to_1():
    columns = {(2, 2): torch.tensor([[1.0, 0.0], [0.0, 0.0]]), (4, 4): torch.zeros(4, 4)}
    saliency = end_of_text_saliency(columns, (4, 4))
    assert saliency.min() == 0 and saliency.max() == 1 and saliency.argmax() == 0
    assert saliency[1, 1] == pytest.approx(0.75 * 0.75)  # bilinear: a quarter cell from the centre along both axes
    with pytest.raises(ValueError, match="NaN"):
        end_of_text_saliency({(1, 1): torch.tensor([[torch.nan]])}, (2, 2))
    with pytest.raises(ValueError, match="there are none"):
        end_of_text_saliency({}, (2, 2))


def test_background_around_the_objects_scores_lowest_even_against_objects_at_the_edge(scene):
    labels, attention = scene
    saliency = border_saliency(attention, (16, 20))
    assert all(saliency[labels == number].mean() > saliency[labels == 0].max() for number in (1, 2, 3))


def test_known_connectivity_of_even_regions():
    # Two halves of a 4x4 grid: each has 6 of its 8 cells on the border, so both are alike and the map is flat.
    labels = torch.arange(16) % 4 // 2
    rows = (labels[:, None] == labels[None]).float() / 8
    assert is_flat(border_saliency(rows, (4, 4)))
    # A 2x2 object inside: no cell on the border, connectivity 0 against 12 / sqrt(12).
    inside = ~border_cells((4, 4)).flatten()
    rows = (inside[:, None] == inside[None]).float()
    assert torch.equal(border_saliency(rows / rows.sum(1, keepdim=True), (4, 4)).flatten(), inside.float())


def test_border_cells_of_thin_grids():
    assert border_cells((1, 5)).all() and border_cells((2, 2)).all() and border_cells((5, 1)).all()
    assert border_cells((3, 3)).sum() == 8


def test_the_sign_test_turns_an_inverted_map_over(scene):
    labels, attention = scene
    inverted = (labels == 0).float()
    settings = LocalizeSettings(saliency="end_of_text", sign_test=True)
    saliency, notes = combine_saliency(inverted, attention, (16, 20), settings)
    assert torch.equal(saliency, (labels > 0).float())
    assert notes == ()
    saliency, notes = combine_saliency(1 - inverted, attention, (16, 20), settings)
    assert torch.equal(saliency, (labels > 0).float()) and notes == ()
    saliency, notes = combine_saliency(inverted, attention, (16, 20), LocalizeSettings())
    assert torch.equal(saliency, inverted) and notes == ()


def test_each_choice_of_saliency(scene):
    labels, attention = scene
    border = border_saliency(attention, (16, 20))
    end = minmax(torch.rand(16, 20, generator=torch.Generator().manual_seed(0)))

    def choose(end_of_text, **settings):
        return combine_saliency(end_of_text, attention, (16, 20), LocalizeSettings(**settings))

    assert torch.equal(choose(end, saliency="border")[0], border)
    assert torch.allclose(choose(end, saliency="both")[0], (end + border) / 2)
    assert is_flat(choose(end, saliency="none")[0])
    saliency, notes = choose(None)
    assert torch.equal(saliency, border) and "could not be read" in notes[0]
