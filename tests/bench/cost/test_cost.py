"""How ``bench cost`` measures, and the whole command on the lab model at random weights."""

import ctypes
import dataclasses
import json

import pytest
import torch

from concept_atelier.__main__ import main
from concept_atelier.bench.cost import (
    cost,
    erasing,
    figures,
    growth,
    heat_maps,
    meters,
    parts,
    recomputing,
    solving,
    start,
)
from concept_atelier.bench.cost.compare import worse
from concept_atelier.bench.cost.figures import FIGURES
from concept_atelier.bench.cost.ground import SHAPES
from concept_atelier.bench.cost.headless import HeadlessGround
from concept_atelier.bench.cost.meters import Time
from concept_atelier.bench.cost.settings import CostSettings

TWO_LEVELS = {
    "block_out_channels": (320, 640),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
"""Of the four levels of a UNet of Stable Diffusion 1.5."""


def test_runs_take_turns_and_each_goes_first():
    order = []
    plain, ours = meters.interleaved(lambda: order.append("plain"), lambda: order.append("ours"), 4)
    assert order == ["plain", "ours", "ours", "plain"] * 2
    assert len(plain) == len(ours) == 4


def test_ratios_are_of_runs_that_followed_each_other():
    """The machine became ten times slower after the first pair, which leaves every ratio at 2."""
    plain = [Time(1, 1), Time(10, 1), Time(10, 1)]
    ours = [Time(2, 3), Time(20, 3), Time(20, 6)]
    found = meters.ratios(plain, ours)
    assert (found["ratio"], found["ratio_range"]) == (2, [2, 2])
    assert (found["cpu_ratio"], found["cpu_ratio_range"], found["repetitions"]) == (3, [3, 6], 3)
    assert (found["plain_s"], found["ours_s"]) == (10, 20)


def test_memory_is_the_most_at_once_and_what_stays():
    held = []

    def job():
        for _ in range(3):  # one after the other
            torch.zeros(2**20, dtype=torch.uint8)
        pair = [torch.zeros(2**20, dtype=torch.uint8) for _ in range(2)]
        held.append(torch.zeros(2**18, dtype=torch.uint8))
        del pair

    found = meters.memory_of(job)
    assert (found.peak, found.kept) == (2 * 2**20 + 2**18, 2**18)


def test_temporaries_inside_an_operator_count():
    """A convolution needs room beside its output, which is as large as its input here."""
    x = torch.zeros(1, 64, 32, 32)
    weight = torch.zeros(64, 64, 3, 3)
    found = meters.memory_of(lambda: torch.nn.functional.conv2d(x, weight, padding=1))
    assert found.peak > x.nbytes and found.kept == 0


def test_resident_memory_of_a_job():
    grown = meters.resident_growth(lambda: torch.ones(2**26, dtype=torch.uint8))
    if grown is None:
        pytest.skip("this system does not say")
    assert 60 < grown < 80


def test_resident_memory_of_a_job_that_finds_free_memory():
    """glibc keeps freed blocks of up to half its 32 MB threshold for the next who asks."""
    held = torch.ones(2**24, dtype=torch.uint8)
    del held
    many = [torch.ones(2**23, dtype=torch.uint8) for _ in range(20)]
    last = torch.ones(2**10)
    del many
    grown = meters.resident_growth(lambda: torch.ones(2**26, dtype=torch.uint8))
    if grown is None or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this system does not say, or its C library keeps what is free")
    assert last.numel() == 2**10 and 60 < grown < 80


def test_a_figure_takes_the_place_of_the_same_one_only(tmp_path):
    path = tmp_path / "cost.json"
    here = {"figure": "learn", "model": "lab", "side": 128, "host": "headless"}
    for changes in ({"ratio": 1}, {"ratio": 2}, {"side": 64, "ratio": 3}, {"host": "ComfyUI 1", "ratio": 4}):
        cost.add_to_file(path, here | changes)
    held = json.loads(path.read_text())
    assert (held["bench"], held["schema"]) == ("cost", 1)
    assert sorted(one["ratio"] for one in held["figures"]) == [2, 3, 4]


def test_the_large_model_is_refused_headless():
    with pytest.raises(ValueError, match="COMFYUI_PATH"):
        cost.ground_of("sd15", {})


def test_methods_that_train_are_measured_on_the_lab_model_alone(monkeypatch):
    with torch.inference_mode():
        untrained = HeadlessGround(untrained=True)
    monkeypatch.setattr(erasing, "METHODS", {name: erasing.METHODS[name] for name in ("uce", "esd")})
    shape = dataclasses.replace(SHAPES["lab"], name="sd15")
    assert list(erasing.methods_cost(untrained, shape, CostSettings())["methods"]) == ["uce"]


def test_the_command_measures_prints_and_writes(tmp_path, monkeypatch, capsys):
    with torch.inference_mode():
        untrained = HeadlessGround(untrained=True)
    monkeypatch.setattr(cost, "ground_of", lambda name: untrained)
    monkeypatch.setattr(figures, "ERASED", (1, 4))
    monkeypatch.setattr(parts, "ITERATIONS", 100)
    monkeypatch.setattr(growth, "CONCEPTS", (1, 3))
    monkeypatch.setattr(growth, "PRESERVED", (10, 40))
    monkeypatch.setattr(heat_maps, "SCENES", 1)
    monkeypatch.setattr(erasing, "METHODS", {name: erasing.METHODS[name] for name in ("uce", "mace")})
    monkeypatch.setattr(solving, "CONCEPTS", 2)
    monkeypatch.setattr(solving, "WIDTH", 64)
    monkeypatch.setattr(solving, "LAYERS", (16, 24))
    width, how = recomputing.SHAPES["sd15"][1:]
    monkeypatch.setattr(recomputing, "SHAPES", {"sd15": (128, width, {**how, **TWO_LEVELS})})
    monkeypatch.setattr(start, "PIPELINES", "sum(range(10**7))")
    monkeypatch.setattr(start, "FIRST_PASS", "\n")
    path = tmp_path / "cost.json"
    small = ["--repetitions", "2", "--steps", "1", "--concepts", "1", "--preserved", "3", "--note", "a test"]
    assert main(["bench", "cost", *small, "--json", str(path)]) == 0
    said, held = capsys.readouterr().out, json.loads(path.read_text())["figures"]
    assert {one["figure"] for one in held} == set(FIGURES)
    assert all(f"{name}: lab, 128 pixels, headless" in said for name in FIGURES)
    by_name = {one["figure"]: one for one in held}
    assert all(one["note"] == "a test" and one["torch"] == torch.__version__ for one in held)
    assert by_name["learn"]["rows"] == 1 and by_name["learn"]["kept_after_cancelling_mb"] < 0.1
    assert list(by_name["erase"]["concepts"]) == ["1", "4"]
    assert list(by_name["erase by method"]["methods"]) == ["uce", "mace"]
    assert all(0 < row["cpu_s"] < 60 and not row["trains"] for row in by_name["erase by method"]["methods"].values())
    sizes = by_name["solving"]["sizes"]
    assert sizes["sd15"]["width"] == 64 and sizes["sd15"]["projections"] == 4 and sizes["lab"]["preset"] == "small"
    assert all(list(of["methods"]) == ["uce", "rece", "speed", "mace", "realera"] for of in sizes.values())
    assert all(0 < spent["cpu_s"] + 0.01 < 30 for of in sizes.values() for spent in of["methods"].values())
    assert by_name["capture"]["more_mb"] < cost.AIMS["more_mb"]
    recorded = by_name["listening"]
    assert 0 < recorded["in_maps_cpu_s"] < recorded["cpu_s"] and 1 < recorded["cpu_ratio"] < 2
    assert by_name["localize"]["ratio"] > by_name["localize"]["passes"] / 2
    assert by_name["text encoding"]["cpu_ratio"] < 0.8 and by_name["text encoding"]["largest_difference"] < 1e-5
    assert by_name["localize"]["from_latent"]["cpu_ratio"] > 0
    assert by_name["attention maps"]["largest_difference"] < 1e-6 and by_name["clustering"]["same_levels"]
    assert by_name["transport"]["cpu_ratio"] < 0.8 and by_name["transport"]["largest_difference"] < 1e-6
    assert by_name["growth"]["concepts"]["3"]["transport"]["cpu_ratio"] > 1.5
    assert 0 < by_name["heat maps"]["sides"]["256"]["iou"] < 0.5  # of a model that knows nothing
    computed = by_name["recomputing"]
    assert computed["largest_difference"] == 0 and computed["ours_peak_mb"] < computed["plain_peak_mb"]
    assert computed["by_shapes"]["sd15"]["on_mb"] < computed["by_shapes"]["sd15"]["off_mb"] / 2
    assert by_name["start"]["cpu_ratio"] < 1  # without a sum of ten million numbers
    assert list(by_name["growth"]["sides"]) == ["128", "192", "256"]


def test_memory_is_known_from_shapes():
    """What a convolution keeps for its backward pass, and the most at once."""
    with recomputing.Held() as held:
        x = torch.empty(1, 8, 64, 64, device="meta", requires_grad=True)  # 128 KiB
        y = x * 2
        z = y.view(8, -1) + 1
        del y
        z.sum()
    assert held.peak == 3 * 8 * 64 * 64 * 4
    assert held._now == 8 * 64 * 64 * 4 * 2


def test_memory_by_shapes_is_that_of_a_real_pass(lab_backbone):
    """With gradients, blocks computed twice and not; operators' own room may come on top."""
    latent, context = torch.randn(1, 4, 16, 16), lab_backbone.encode_text(["a cat"]).context.detach()
    for choice in ("off", "on"):
        with recomputing.Held() as held:
            recomputing.gradient(lab_backbone, latent, context, choice)
        measured = meters.memory_of(lambda choice=choice: recomputing.gradient(lab_backbone, latent, context, choice))
        assert held.peak == pytest.approx(measured.peak, rel=0.1)
    lab_backbone.recomputation.choice = "off"


def test_a_new_process_that_fails_is_reported():
    with pytest.raises(RuntimeError, match="no such thing"):
        start.processor_time("raise SystemExit('no such thing')")


def figure(ratio, **changes):
    known = {"figure": "transport", "model": "lab", "side": 128, "host": "ComfyUI 0.33.0", "cpu_ratio": ratio}
    return known | changes


def test_ratios_are_compared_with_the_stored_ones():
    stored = [figure(0.5), figure(0.2, host="headless"), figure(2.0, figure="growth", rows={"3": {"cpu_ratio": 3.0}})]
    assert worse([figure(0.57)], stored) == []
    assert len(worse([figure(0.58)], stored)) == 1
    assert "0.58, stored 0.5, 16 % worse" in worse([figure(0.58, host="ComfyUI 0.19.3")], stored)[0]
    assert "stored 0.2" in worse([figure(0.5, host="headless")], stored)[0]
    assert worse([figure(9.0, side=512)], stored) == []
    (line,) = worse([figure(2.0, figure="growth", rows={"3": {"cpu_ratio": 4.0}})], stored)
    assert "rows.3.cpu_ratio 4, stored 3, 33 % worse" in line


def test_the_command_says_what_is_worse_than_stored(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost, "ground_of", lambda name: HeadlessGround(untrained=True))
    path = tmp_path / "cost.json"
    arguments = ["bench", "cost", "--figures", "attention maps", "--repetitions", "2", "--json", str(path)]
    assert main(arguments) == 0
    cost.add_to_file(path, cost.figures_in(path)[0] | {"cpu_ratio": 1e-6})
    assert main([*arguments, "--compare", str(path)]) == 1
    assert "stored 1e-06" in capsys.readouterr().out
