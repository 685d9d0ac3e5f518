import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.host.shared.conditioning import from_comfy, join, to_comfy


def conditioning(rows=1, length=4, value=1.0):
    return Conditioning(torch.full((rows, length, 3), value), {"pooled_output": torch.full((rows, 2), value)})


def test_it_survives_comfys_format():
    back = from_comfy(to_comfy(conditioning()))
    assert back.context.equal(conditioning().context)
    assert back.extras["pooled_output"].equal(conditioning().extras["pooled_output"])


def test_what_is_not_read_is_refused_by_name():
    context = torch.zeros(1, 4, 3)
    assert from_comfy([[context, {"pooled_output": None, "mask": None}]]).extras == {}
    with pytest.raises(ValueError, match="positive carries area, strength"):
        from_comfy([[context, {"area": (1, 1, 0, 0), "strength": 0.5}]], "positive")
    with pytest.raises(ValueError, match="2 entries"):
        from_comfy([[context, {}], [context, {}]])
    with pytest.raises(ValueError, match="0 entries"):
        from_comfy([])


def test_unequal_lengths_are_repeated_to_a_common_one():
    first = Conditioning(torch.arange(4.0).view(1, 4, 1))
    second = Conditioning(torch.arange(6.0).view(1, 6, 1))
    joined = join(first, second).context[..., 0]
    assert joined.tolist() == [[0, 1, 2, 3] * 3, [0, 1, 2, 3, 4, 5] * 2]
