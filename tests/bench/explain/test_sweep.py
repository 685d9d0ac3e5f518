"""``bench explain --sweep``: the plain probe at every layer and share of noise."""

import json

import pytest

from concept_atelier.__main__ import main
from concept_atelier.bench.explain import sweep
from concept_atelier.bench.explain.folders import make_folder
from concept_atelier.bench.harness import Request
from concept_atelier.core.explain.probe import pooled
from concept_atelier.core.explain.recording import reading_sites, record_denoiser
from concept_atelier.host.adapters import backbone_of

OPTIONS = {"pictures": 24}


@pytest.fixture(scope="module")
def transformer(lab_transformer):
    return backbone_of(*lab_transformer)


def test_every_layer_is_probed_at_every_noise(transformer, monkeypatch):
    monkeypatch.setattr(sweep, "NOISES", (0.1, 0.7))
    request = Request(1, options=OPTIONS)
    rows = [sweep.measure(transformer, request, 0)]
    names = [site.name for site in reading_sites(transformer)]
    assert json.loads(json.dumps(rows)) == rows
    assert list(rows[0]["scores"]) == [f"{name} at {noise}" for noise in ("0.1", "0.7") for name in names]
    summary = sweep.sweep_figures(rows, request)
    result = {"cases": 1, "split": "development", "seed": 0, "options": OPTIONS, "summary": summary}
    assert len(sweep.table(result).splitlines()) == 2 + len(names)
    assert sweep.headline(summary)["auroc"] == max(rows[0]["scores"].values())


def test_what_is_probed_is_what_the_bench_records(transformer):
    folder = make_folder("development", 0, 0, 10)
    read = sweep.recorded(transformer, folder.pictures, 0.3)
    for site in reading_sites(transformer):
        assert pooled(record_denoiser(transformer, folder.pictures, site.name, 0.3).rows).equal(read[site.name])


def test_too_few_pictures_and_controls_are_refused(transformer):
    with pytest.raises(ValueError, match="2 pictures are too few to tell objects apart; give --pictures more"):
        sweep.measure(transformer, Request(1, options={"pictures": 4}), 0)
    with pytest.raises(ValueError, match="a sweep is of all layers of the denoiser, and has no controls"):
        main(["bench", "explain", "--sweep", "--source", "tower"])
