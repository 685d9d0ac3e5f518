"""The picture of the sweeps: panels for the files that are there, and the brighter the better."""

import json

import numpy as np
import pytest
from PIL import Image

from concept_atelier.tools.pages.sweep_pictures import BRIGHT, DARK, _short, sweeps_picture, write_sweeps

WORDS = {"summary": {"all at 0.1": {"name": {"iou": {"mean": 1.0}}}, "all at 0.3": {"name": {"iou": {"mean": 0.0}}}}}


def test_files_that_are_there_are_drawn_and_none_without_any(tmp_path):
    (tmp_path / "lab").mkdir()
    write_sweeps(tmp_path, tmp_path)
    assert not (tmp_path / "lab/sweeps.png").exists()
    (tmp_path / "words_sweep.json").write_text(json.dumps(WORDS))
    (tmp_path / "localize_sweep.json").write_text(json.dumps({"summary": {"all at 0.1": {"mean": 0.5}}}))
    write_sweeps(tmp_path, tmp_path)
    drawn = Image.open(tmp_path / "lab/sweeps.png").convert("RGB")
    colours = {tuple(colour) for colour in np.asarray(drawn).reshape(-1, 3)}
    assert {DARK, BRIGHT} <= colours
    alone = sweeps_picture({"one": {("all", "0.1"): 0.5}})
    assert drawn.height == alone.height and drawn.width > alone.width  # both panels beside each other


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("all", "all"),
        ("single_transformer_blocks.3.attn", "single 3"),
        ("transformer_blocks.0.attn", "double 0"),
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn2", "down 1 0"),
        ("mid_block.attentions.0.transformer_blocks.0.attn1", "mid 0"),
    ],
)
def test_layers_are_called_shortly(layer, said):
    assert _short(layer) == said
