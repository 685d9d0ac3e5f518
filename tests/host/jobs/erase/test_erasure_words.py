"""What is said of an erasure."""

import json

import torch

from concept_atelier.core.types import Erasure, LowRank
from concept_atelier.host.jobs.erase.erasure_words import describe_erasure, describe_file


def test_words_of_any_length_and_sign_are_shown_short_and_escaped():
    words = {"concepts": json.dumps(["(" * 3000, "cat\x00"]), "anchors": json.dumps(["", "a" * 3000]), "rank": "1"}
    factors = {"a": LowRank(torch.ones(2, 1), torch.ones(1, 2))}
    said = describe_erasure(Erasure(factors, 1.0, "lab", words), {"a": 0.5})
    assert len(said) < 500 and said.replace("\n", "").isprintable()
    assert said.splitlines()[1].startswith("cat\\x00 is read as aaa")


def test_a_file_has_the_rank_of_its_factors_and_the_change_says_what_was_trained():
    factors = {"a": LowRank(torch.ones(8, 5), torch.ones(5, 8)), "b": LowRank(torch.ones(8, 1), torch.ones(1, 8))}
    erasure = Erasure(factors, 1.0, "lab", {"rank": "1", "closed_form_rank": "4"})
    assert describe_file(erasure) == "a LoRA of rank 5"
    assert describe_erasure(erasure, {"a": 0.5}).endswith("; rank 1 on a closed form of rank 4, strength 1")
