"""The cards say what the files say."""

import json

from concept_atelier.lab.world.atlas import OBJECTS_FILE, load_atlas
from concept_atelier.tools.pages import cards


def test_the_data_card_counts_and_names_every_object_and_set():
    text = cards.data_card()
    world = json.loads(OBJECTS_FILE.read_text())
    for split in ("train", "development", "test"):
        kinds = load_atlas().of_split(split)
        assert f"| {split} | {len(kinds)} |" in text
        assert all(kind.name in text for kind in kinds)
    for entry in world["hands"].values():
        assert entry["license"] in text and entry["version"] in text and entry["source"] in text


def test_the_model_card_holds_every_run_and_part():
    text = cards.model_card()
    record = json.loads((cards.WEIGHTS / "training.json").read_text())
    for name, log in record.items():
        assert f"| {name} | {log['samples']:,} |" in text
        assert log.get("remarks", "") in text
    for part in ("unet", "text_encoder", "vae", "transformer", "image_tower", "judge"):
        assert f"| {part} | " in text
    assert f"{cards.parameters(cards.WEIGHTS / cards.FILES['unet']) / 1e6:.2f} M" in text


def test_there_is_a_curve_for_every_run():
    plots = cards.curves()
    assert len(plots) == len(cards.load_record(cards.WEIGHTS))
    assert all(plot.shape == (1, 3, 300, 480) and plot.min() >= 0 and plot.max() <= 1 for plot in plots)


def test_tables_have_one_head():
    assert cards.table([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
