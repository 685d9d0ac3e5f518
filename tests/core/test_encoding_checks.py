"""Encodings that are not finite are refused by what may be the cause."""

import pytest
import torch

from concept_atelier.core.encoding_checks import check_encoded


@pytest.mark.parametrize(
    ("text", "learnt", "said"),
    [
        ("a <cat>", ["<dog>", "<cat>"], "the vectors of <cat> are far too large or damaged"),
        ("(a cat:1e99)", ["<dog>"], "a weight in it is far too large, or the model is damaged"),
        ("a cat", [], "the model is damaged"),
    ],
)
def test_the_likely_cause_is_named(text, learnt, said):
    context = torch.zeros(2, 3, 4)
    check_encoded(context, ["", text], learnt)
    context[1, 2, 3] = torch.inf
    with pytest.raises(ValueError, match="not finite for ") as caught:
        check_encoded(context, ["", text], learnt)
    assert said in str(caught.value)
