"""``bench recognise --what corrections``: its scenes, and one small case."""

from concept_atelier.bench.harness import Request
from concept_atelier.bench.recognise import correcting
from concept_atelier.bench.recognise.correcting import make_related


def test_scenes_have_one_kind_style_and_tint_each():
    pictures, tags, names, kinds = make_related("development", 0, 0, 6)
    assert len(pictures) == 6 and kinds == 8 and len(names) == tags.shape[1]
    assert tags[:, :kinds].sum(1).eq(1).all() and tags.sum(1).eq(3).all()


def test_a_small_case_is_no_worse_behind_a_correction():
    request = Request(1, options={"pictures": 80})
    row = correcting.measure(correcting.prepare(request), request, 0)
    assert row["others"] >= row["others_before"] and 0 < row["wrong"] <= 1
    said = correcting.table({"cases": 1, "split": "development", "summary": correcting.figures([row, row], request)})
    assert "gain of the others" in said
