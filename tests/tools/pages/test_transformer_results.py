"""The page of the lab transformer: both models in every table, and what is not measured by its command."""

import json

from concept_atelier.bench.all.queue import queue
from concept_atelier.bench.all.transformers import ADDED
from concept_atelier.bench.lab import FIGURES
from concept_atelier.tools.pages.transformer_results import ERASED, ERASED_COLUMNS, PARTS, WORDS, beside, drawings


def value(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def write(path, summary):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cases": 4, "seed": 0, "summary": summary}))


def test_every_row_of_the_transformer_stands_beside_the_unets_and_says_its_command(tmp_path):
    for name in (*ERASED, *WORDS):
        assert (ADDED in queue()[name]) == name.startswith("transformer/")
    write(tmp_path / "erase.json", {"found_after": value(0.05)})
    write(tmp_path / "transformer/erase.json", {"found_after": value(0.2)})
    unet, own, *rest = beside(tmp_path, ERASED, ERASED_COLUMNS).splitlines()[2:]
    assert unet.startswith("| UNet | UCE | 4 | 0.050 [0.04 0.06] |")
    assert own.startswith("| transformer | UCE | 4 | 0.200 [0.19 0.21] |")
    assert own.endswith(f"`bench erase --split test --cases 4 {ADDED}` |")  # no controls were measured
    assert all("not measured" in row for row in rest)


def test_drawings_have_aims_of_their_own_and_leave_out_what_both_models_share(tmp_path):
    write(tmp_path / "lab.json", {name: value(0.97) for name in FIGURES})
    write(tmp_path / "transformer/lab.json", {name: value(0.85) for name in FIGURES})
    written = drawings(tmp_path)
    assert "| one object: exactly that | 0.9 | 0.970 [0.96 0.98] | 0.850 [0.84 0.86] | no |" in written
    assert "| two objects: exactly those | 0.7 | 0.970 [0.96 0.98] | 0.850 [0.84 0.86] | yes |" in written
    assert "autoencoder" not in written


def test_a_sweep_is_shown_by_layers_and_noise(tmp_path):
    write(tmp_path / "transformer/localize_sweep.json", {"b at 0.1": value(0.5), "b at 0.9": value(0.3)})
    written = PARTS["sweep of clustering"](tmp_path)
    assert "| layer | noise 0.1 | noise 0.9 |" in written and "| `b` | 0.500 | 0.300 |" in written
    assert "Not measured" in PARTS["sweep of words"](tmp_path)
