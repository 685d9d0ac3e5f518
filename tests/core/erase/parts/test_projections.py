import pytest
import torch

from concept_atelier.core.backbone import KeyValueWeight
from concept_atelier.core.erase.parts.closed_form import compress
from concept_atelier.core.erase.parts.projections import changes, gram, projections_of
from concept_atelier.core.types import FullChange, LowRank


def projection(name, role, rows, generator):
    return KeyValueWeight(name, role, torch.randn(rows, 12, generator=generator))


@pytest.fixture
def weights(generator):
    return [projection("k", "key", 5, generator), projection("v", "value", 7, generator)]


@pytest.mark.parametrize(("rank", "kind"), [(3, LowRank), (11, LowRank), (12, FullChange), (20, FullChange)])
def test_an_edit_of_full_rank_is_kept_whole(weights, generator, rank, kind):
    shift, down = (torch.randn(12, rank, generator=generator, dtype=torch.float64) for _ in range(2))
    found = changes(weights, compress(shift, down.T))
    for weight in weights:
        assert isinstance(found[weight.name], kind)
        torch.testing.assert_close(
            found[weight.name].dense(), (weight.weight.double() @ shift @ down.T).float(), atol=1e-3, rtol=1e-4
        )


def test_the_gram_matrix_adds_up_over_projections(weights):
    stacked = torch.cat([weight.weight for weight in weights]).double()
    torch.testing.assert_close(gram(weights), stacked.T @ stacked)


def test_projections_are_those_of_a_role_and_a_width(lab_backbone):
    names = [weight.name for weight in projections_of(lab_backbone, 192, "value")]
    assert names == [weight.name for weight in lab_backbone.key_value_weights() if weight.role == "value"]
    with pytest.raises(ValueError, match="text has width 100"):
        projections_of(lab_backbone, 100, "both")
