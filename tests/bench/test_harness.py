"""How benches run: kept rows, interrupted runs, what a cache must not mix up."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from concept_atelier.bench import harness
from concept_atelier.bench.command import add_common_arguments, load_backbone, run_command
from concept_atelier.bench.harness import Bench, Request, RowStore, digest, run


class Counter:
    """A bench whose cases are squares; remembers which it measured, and stops where it is told to."""

    def __init__(self, stop_at=None):
        self.measured, self.stop_at = [], stop_at

    def measure(self, prepared, request, index):
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.measured.append(index)
        return {"value": request.seed + index * index, "pair": (1, 2)}

    @property
    def bench(self):
        return Bench("counter", 1, lambda request: None, self.measure, lambda rows, _: {"sum": total(rows)}, str)


def total(rows):
    return sum(row["value"] for row in rows)


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    first = Counter(stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        run(first.bench, Request(5), cache=tmp_path)
    again = Counter()
    result = run(again.bench, Request(5), cache=tmp_path)
    assert (first.measured, again.measured) == ([0, 1, 2], [3, 4])
    assert result["summary"] == {"sum": 30}
    assert result == run(Counter().bench, Request(5))  # as if it had never stopped


def test_more_cases_add_to_the_kept_ones_and_fewer_read_them(tmp_path):
    run(Counter().bench, Request(4), cache=tmp_path)
    more, fewer = Counter(), Counter()
    assert run(more.bench, Request(6), cache=tmp_path)["summary"] == {"sum": 55}
    assert run(fewer.bench, Request(2), cache=tmp_path)["summary"] == {"sum": 1}
    assert (more.measured, fewer.measured) == ([4, 5], [])


def test_rows_come_in_order_whatever_order_the_engine_gives(tmp_path):
    def backwards(prepare, indexes):
        measure = prepare()
        for index in reversed(list(indexes)):
            yield index, measure(index)

    seen = []
    result = run(Counter().bench, Request(3), engine=backwards, progress=lambda *done: seen.append(done))
    assert [row["value"] for row in result["rows"]] == [0, 1, 4]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_line_cut_by_a_kill_is_measured_again(tmp_path):
    run(Counter().bench, Request(3), cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-5])
    again = Counter()
    assert run(again.bench, Request(3), cache=tmp_path)["summary"] == {"sum": 5}
    assert again.measured == [2]
    assert set(RowStore(file).rows) == {0, 1, 2}


def test_whatever_decides_a_row_has_its_own_file(tmp_path, monkeypatch):
    bench, model = Counter().bench, tmp_path / "model"
    model.mkdir()
    (model / "unet.safetensors").write_bytes(b"one")
    requests = [
        Request(1),
        Request(1, seed=1),
        Request(1, split="test"),
        Request(1, untrained=True),
        Request(1, options={"a": 1}),
        Request(1, model=harness.TRANSFORMER),
        Request(1, model=str(model)),
    ]
    found = [digest(bench, request) for request in requests]
    (model / "unet.safetensors").write_bytes(b"two")
    found.append(digest(bench, requests[-1]))
    (tmp_path / "core").mkdir()
    (tmp_path / "core/maths.py").write_text("x = 1")
    monkeypatch.setattr(harness, "PACKAGE", tmp_path)
    found.append(digest(bench, requests[0]))
    (tmp_path / "core/maths.py").write_text("x = 2")
    found.append(digest(bench, requests[0]))
    (tmp_path / "lab/world").mkdir(parents=True)
    (tmp_path / "lab/world/objects.json").write_text("{}")
    found.append(digest(bench, requests[0]))
    (tmp_path / "lab/world/atlas.png").write_bytes(b"icons")
    found.append(digest(bench, requests[0]))
    assert len(set(found)) == len(found)
    assert digest(bench, Request(1)) == digest(bench, Request(9))  # the number of cases decides no row


def test_results_are_json(tmp_path):
    result = run(Counter().bench, Request(2), cache=tmp_path)
    assert json.loads(json.dumps(result)) == result


def test_the_lab_transformer_is_asked_for_by_its_name_and_other_models_by_their_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    bench = replace(Counter().bench, prepare=asked.append, table=lambda result: "")
    parser = argparse.ArgumentParser()
    add_common_arguments(parser, cases=1)
    for model in ([], ["--model", "transformer"], ["--model", "mine"]):
        assert run_command(bench, parser.parse_args(["--fresh", *model]), {}) == 0
    assert [request.model for request in asked] == ["", harness.TRANSFORMER, str(tmp_path / "mine")]


def test_an_untrained_transformer_reads_the_trained_text_encoder_and_predicts_nothing():
    backbone = load_backbone(Path(harness.TRANSFORMER), untrained=True)
    text = backbone.encode_text(["a photo of a cat"])
    assert torch.equal(text.context, load_backbone().encode_text(["a photo of a cat"]).context)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not backbone.predict_target(noise, torch.tensor([500]), text).any()
