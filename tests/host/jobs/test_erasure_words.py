"""What is said of an erasure."""

import json

import torch

from concept_atelier.core.types import Erasure, LowRank
from concept_atelier.host.jobs.erasure_words import describe_erasure


def test_words_of_any_length_and_sign_are_shown_short_and_escaped():
    words = {"concepts": json.dumps(["(" * 3000, "cat\x00"]), "anchors": json.dumps(["", "a" * 3000]), "rank": "1"}
    factors = {"a": LowRank(torch.ones(2, 1), torch.ones(1, 2))}
    said = describe_erasure(Erasure(factors, 1.0, "lab", words), {"a": 0.5})
    assert len(said) < 500 and said.replace("\n", "").isprintable()
    assert said.splitlines()[1].startswith("cat\\x00 is read as aaa")
