"""An override that takes containers of tensors, on a transformer's listener: what it reads is what tensors give."""

import pytest
import torch

from concept_atelier.core.backbone import AttentionSite
from concept_atelier.host.comfy.attention.overrides import OVERRIDE
from concept_atelier.host.comfy.transformers.sites import Rows
from concept_atelier.host.comfy.transformers.taps import TransformerListener, with_listener

HEADS, TEXT, GRID = 2, 3, (2, 2)
TABLE = {("double", 0, 0): AttentionSite("blocks.0", "joint", None, HEADS, 1)}
OPTIONS = {"block_type": "double", "block_index": 0}


@pytest.fixture
def calls_of(container):
    """What is reported of one call of a block, and its output; by an override that takes containers, or tensors."""

    def go(contained, tensor, *args, **kwargs):
        def previous(attention, query, key, value, heads, *args, **kwargs):
            return value

        calls = []
        if contained:
            previous.container_function = lambda query, key, value, heads, *args, **kwargs: value.take()
        listener = TransformerListener(TABLE, ("blocks.0",), calls.append, {}, previous)
        override = with_listener({OVERRIDE: previous}, listener)[OVERRIDE]
        listener.begin(Rows(GRID, TEXT, slice(0, TEXT), GRID[0] * GRID[1]))
        given = [container(tensor) if contained else tensor for _ in range(3)]
        attend = override.container_function if contained else lambda *args, **kwargs: override(None, *args, **kwargs)
        return calls, attend(*given, HEADS, *args, transformer_options=OPTIONS, **kwargs)

    return go


@pytest.mark.parametrize("shape", [(1, HEADS, 7, 4), (1, 7, 8)], ids=["heads apart", "heads joined"])
def test_containers_are_read_as_tensors_are_with_heads_and_mask_by_position(calls_of, shape):
    mask = torch.zeros(1, 1, 1, 7)
    mask[..., 2] = -torch.inf
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    contained, plain = (calls_of(way, tensor, mask, skip_reshape=len(shape) == 4) for way in (True, False))
    assert torch.equal(contained[1], tensor) and torch.equal(plain[1], tensor)
    assert [call.view for call in contained[0]] == ["cross", "self"]
    for one, other in zip(contained[0], plain[0], strict=True):
        assert torch.equal(one.bias, mask) and torch.equal(other.bias, mask)
        assert one.query.shape == (1, HEADS, 4, 4) and one.key.shape == (1, HEADS, 7, 4)
        assert torch.equal(one.query, other.query) and torch.equal(one.key, other.key)
