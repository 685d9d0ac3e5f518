"""What words tell: by themselves, and beside a synonym."""

import torch

from concept_atelier.bench.harness import Request
from concept_atelier.bench.words import words
from concept_atelier.bench.words.cases import make_word_case
from concept_atelier.bench.words.information import alone_maps, redundancy, shared_information


def test_a_name_has_a_synonym_and_a_word_for_something_that_is_not_there(untrained):
    cases = (make_word_case("test", index, 0) for index in range(20))
    found = next(one for case in cases if (one := redundancy(untrained, case, 1)) is not None)
    assert set(found["words"]) == set(found["shares"]) == {"synonym", "unrelated"}
    assert all(0 <= share <= 1 for share in found["shares"].values())
    again = {"redundancy": {"shares": {"synonym": 0.8, "unrelated": 0.2}}}
    figures = shared_information([again, again, {"redundancy": None}], 0)["redundancy"]
    assert figures["objects"] == 2 and figures["more"]["mean"] == 0.6
    assert shared_information([{}], 0) == {}


def test_information_of_words_by_themselves_is_a_kind_of_map(untrained):
    case = make_word_case("test", 0, 0)
    maps = alone_maps(untrained, case, untrained.encode_image(case.picture), case.words[:2], 1)
    assert maps.shape == (2, 128, 128) and bool((maps >= 0).all()) and bool(torch.isfinite(maps).all())


def test_the_table_says_which_share_a_synonym_gives_too(untrained):
    request = Request(1, untrained=True, options={"maps": "alone", "levels": 1, "redundancy": True})
    rows = [words.measure((untrained, None), request, index) for index in range(3)]
    summary = words.figures(rows, request)
    result = {"options": request.options, "summary": summary, "cases": 3, "split": "test", "seed": 0}
    assert ("redundancy with a synonym" in words.table(result)) == ("redundancy" in summary)
    assert words.headline(summary)
