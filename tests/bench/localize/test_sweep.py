"""``bench localize --sweep``: every layer by itself at every share of noise."""

import json

import pytest

from concept_atelier.__main__ import main
from concept_atelier.bench.harness import Request
from concept_atelier.bench.localize import localize, sweep
from concept_atelier.host.adapters import backbone_of

OPTIONS = {"settings": {"noise_draws": 1}}


@pytest.fixture(scope="module")
def transformer(lab_transformer):
    return backbone_of(*lab_transformer)


def test_a_sweep_has_every_layer_at_every_noise(transformer, monkeypatch):
    monkeypatch.setattr(sweep, "NOISES", (0.2, 0.8))
    request = Request(2, options=OPTIONS)
    rows = [sweep.measure(transformer, request, index) for index in range(2)]
    assert json.loads(json.dumps(rows)) == rows
    names = ["all", *(site.name for site in transformer.attention_sites())]
    assert list(rows[0]["scores"]) == [f"{name} at {noise}" for noise in ("0.2", "0.8") for name in names]
    assert len(set(rows[0]["scores"].values())) > 2
    summary = sweep.sweep_figures(rows, request)
    result = {"cases": 2, "split": "development", "seed": 0, "options": OPTIONS, "summary": summary}
    lines = sweep.table(result).splitlines()
    assert lines[1].split() == ["layer", "noise", "0.2", "noise", "0.8"] and len(lines) == 2 + len(names)
    best = sweep.headline(summary)
    assert best["miou_pixel"] == max(found["mean"] for found in summary.values())


def test_a_setting_scores_what_the_bench_itself_scores_there(transformer, monkeypatch):
    monkeypatch.setattr(sweep, "NOISES", (0.5,))
    (site, *_) = transformer.attention_sites()
    swept = sweep.measure(transformer, Request(1, options=OPTIONS), 0)["scores"][f"{site.name} at 0.5"]
    chosen = {"settings": {"noise_draws": 1, "layers": [site.name], "noise": 0.5}}
    row = localize.measure(transformer, Request(1, options=chosen), 0)
    assert swept == row["scores"]["concepts"]["pixel"]["miou"]


def test_other_methods_are_refused():
    with pytest.raises(ValueError, match="a sweep is of conceptexpress"):
        main(["bench", "localize", "--sweep", "--method", "attencraft"])
