"""``bench decompose``: one small case."""

from concept_atelier.bench.harness import Request
from concept_atelier.bench.recognise import decompose


def test_a_small_case_names_and_edits():
    request = Request(1, options={"pictures": 120, "strength": 3.0})
    row = decompose.measure(decompose.prepare(request), request, 0)
    assert row["auroc"] > 0.7 and row["new"] > row["new_before"] and row["old"] < row["old_before"]
    summary = decompose.figures([row, row], request)
    said = decompose.table({"cases": 2, "split": "development", "options": request.options, "summary": summary})
    assert "swaps of strength 3" in said and "R2" in said
