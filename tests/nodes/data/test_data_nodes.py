"""Captions beside their pictures, over the lab's picture encoder and text encoder, and weights out of a log."""

import csv
import io

import pytest
import torch
from PIL import Image

from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import AdaptiveWeights, CaptionNoise, LoadPictureFolder, SaveCaptions
from concept_atelier.nodes.data import caption_noise


def test_captions_are_read_beside_their_pictures_and_compared(call, sockets, here):
    folder = here.input[0] / "set"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (64, 64), (80 * number, 40, 200)).save(folder / f"{number}.png")
    (folder / "0.txt").write_text("a cat\non blue", encoding="utf-8")
    (folder / "2.txt").write_text("a dog", encoding="utf-8")
    pictures, names, captions = call(LoadPictureFolder, folder="set", size=64)
    assert captions.split("\n") == ["a cat on blue", "", "a dog"]
    given = {"pictures": pictures, "captions": captions, "clip_vision": load_vision(), "clip": sockets["clip"]}
    sheet, written, report, kept, their_captions, their_weights = call(CaptionNoise, **given, names=names)
    assert sheet.ndim == 4 and written.count("\n") == 4 and "fewer than 20" in report
    assert (here.output / "reports").is_dir() and ",keep," in written
    assert torch.equal(kept, pictures) and their_captions == captions and their_weights == "1.0000\n1.0000\n1.0000"
    with pytest.raises(ValueError, match="there are 3 pictures, 1 caption and 3 names"):
        call(CaptionNoise, **{**given, "captions": "a cat"})


def test_pictures_with_wrong_captions_are_left_out(call, sockets, monkeypatch):
    """Twenty-four pairs, each caption with a direction of its own, two of which changed places."""
    unit, order = torch.eye(24), [*range(22), 23, 22]
    monkeypatch.setattr(caption_noise, "picture_features", lambda vision, pictures: unit)
    monkeypatch.setattr(
        caption_noise, "word_features", lambda *given, **settings: torch.cat([unit[order], torch.zeros(32, 24)])
    )
    pictures = torch.rand(24, 16, 16, 3)
    captions = "\n".join(f"thing {number}" for number in range(24))
    pair = {"clip_vision": load_vision(), "clip": sockets["clip"]}
    given = {"pictures": pictures, "captions": captions, **pair, "filename_prefix": ""}
    *_, table, _, kept, their_captions, their_weights = call(CaptionNoise, **given, strength=0.5)
    assert torch.equal(kept, pictures[:22]) and their_captions.split("\n") == captions.split("\n")[:22]
    in_table = {row["number"]: row["weight"] for row in csv.DictReader(io.StringIO(table))}
    assert their_weights.split("\n") == [in_table[str(number)] for number in range(1, 23)]
    assert float(in_table["23"]) == pytest.approx(0.5, abs=0.01)  # surely wrong, at half the strength


def test_weights_come_out_of_a_log_and_noise_lowers_them(call):
    losses = "picture,labelled,consistency,level\na.png,3,1,1\nb.png,1,1,1\n\nc.png,2,1,1\n"
    written = call(AdaptiveWeights, losses=losses)[0]
    label = {line.split(",")[0]: float(line.split(",")[1]) for line in written.splitlines()[1:]}
    assert label["a.png"] > label["c.png"] > label["b.png"] and max(label.values()) <= 0.9
    noise = "picture,fit,noise\na.png,0.1,1.0\n"
    assert "a.png,0.0000,1.0000" in call(AdaptiveWeights, losses=losses, noise=noise)[0]
    with pytest.raises(ValueError, match="line 2 of the losses"):
        call(AdaptiveWeights, losses="a,1,2\nb,much,2")
    with pytest.raises(ValueError, match="no table of Caption Noise"):
        call(AdaptiveWeights, losses=losses, noise="x,y\n1,2")


def test_captions_go_beside_their_pictures_and_come_back(call, here):
    folder = here.input[0] / "set"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (32, 32)).save(folder / f"{number}.png")
    (folder / "0.txt").write_text("a cat")
    _, names, captions = call(LoadPictureFolder, folder="set", size=32)
    better = captions.split("\n")[0] + ", grass\n\na dog"
    given = {"captions": better, "names": names}
    where = {"place": "beside the pictures", "folder": "set"}
    with pytest.raises(ValueError, match="another caption already"):
        call(SaveCaptions, **given, **where)
    written, report = call(SaveCaptions, **given, **where, existing="replace")
    assert call(LoadPictureFolder, folder="set", size=32)[2] == better
    rows = {row["picture"]: row for row in csv.DictReader(io.StringIO(written))}
    assert [row["what happened"] for row in rows.values()] == ["replaced", "empty", "new"]
    assert rows["0.png"]["caption before"] == "a cat" and rows["0.png"]["former file"] == "0.txt.bak"
    assert report.startswith(f"2 of 3 captions written to {folder}") and "0.txt: a cat, grass" in report
    assert call(SaveCaptions, **given)[1].startswith(f"2 of 3 captions written to {here.output / 'captions'}")
    assert "0 of 3 captions written" in call(SaveCaptions, **given)[1]


def test_captions_without_names_or_of_other_pictures_are_refused(call, here):
    with pytest.raises(ValueError, match="names is empty; connect NAMES of Load Picture Folder"):
        call(SaveCaptions, captions="a cat")
    with pytest.raises(ValueError, match="2 pictures and 1 caption;"):
        call(SaveCaptions, captions="a cat", names="a.png\nb.png")
    assert SaveCaptions.validate_inputs("output folder", "a/b") is True and SaveCaptions.validate_inputs() is True
    assert "leave its folder" in SaveCaptions.validate_inputs("output folder", "../b")
    assert "no folder named 'b'" in SaveCaptions.validate_inputs("beside the pictures", "b")
    assert SaveCaptions.validate_inputs("Output Folder", "").startswith("place: expected one of output folder")
    assert not here.output.exists()


def test_captions_of_very_unequal_length_are_compared(call, sockets):
    """One needs several passes of the text encoder."""
    tags = ", ".join(f"a {word} cat on {word} ground" for word in ("red", "blue", "green", "pink", "grey") * 4)
    captions = ["a cat", tags, "a dog"]
    pictures = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    given = {"pictures": pictures, "clip_vision": load_vision(), "clip": sockets["clip"]}
    written = call(CaptionNoise, **given, captions="\n".join(captions))[1]
    assert written.count("\n") == 4
