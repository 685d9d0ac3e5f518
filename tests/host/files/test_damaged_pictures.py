"""Pictures with bytes changed at random are read, or refused in one sentence that names the file."""

import io
import random
import warnings

import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from concept_atelier.host.files.embedded_workflows import embedded
from concept_atelier.host.files.images import read_frames
from concept_atelier.host.files.json_files import BadJsonError

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", *(["AVIF"] if features.check("avif") else []))


def sound(kind):
    """A small picture of a kind that carries a workflow where the kind can."""
    picture = Image.effect_noise((24, 18), 60).convert("RGB")
    exif, text = picture.getexif(), PngInfo()
    exif[0x0112], exif[0x010F] = 6, 'prompt:{"1": {"class_type": "A"}}'
    text.add_itxt("prompt", '{"1": {"class_type": "A"}}', zip=True)
    given = {"PNG": {"pnginfo": text, "exif": exif}, "GIF": {}}.get(kind, {"exif": exif})
    file = io.BytesIO()
    picture.save(file, kind, **given)
    return file.getvalue()


def damaged(data, seed):
    """Some bytes changed, near the beginning half of the time; now and then the end is missing."""
    rng, data = random.Random(seed), bytearray(data)
    for _ in range(rng.choice([1, 2, 5, 20])):
        data[rng.randrange(len(data) if seed % 2 else min(len(data), 120))] = rng.choice([rng.randrange(256), 0, 255])
    return bytes(data[: rng.randrange(1, len(data))] if seed % 6 == 0 else data)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pictures_are_read_or_refused_by_name(kind, tmp_path):
    path, whole, refused = tmp_path / f"x.{kind.lower()}", sound(kind), 0
    for seed in range(120):
        data = damaged(whole, seed)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_frames(path)
            except (ValueError, OSError) as error:
                refused += 1
                assert path.name in str(error) and len(str(error)) < 600 and str(error).isprintable()
            try:
                embedded(data, path.name)
            except BadJsonError as error:
                assert path.name in str(error) and len(str(error)) < 600 and str(error).isprintable()
    assert refused > 10


def test_pictures_that_say_they_are_vast_are_refused_unread(tmp_path):
    whole = bytearray(sound("PNG"))
    whole[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "vast.png").write_bytes(bytes(whole))
    with pytest.raises(ValueError, match="vast.png cannot be read as a picture"):
        read_frames(tmp_path / "vast.png")


def test_warnings_of_pillow_do_not_reach_the_console(tmp_path, recwarn):
    """A tag of a TIFF that says it is larger than the file: Pillow warns of it, by a line of its own code."""
    path = tmp_path / "x.tif"
    Image.new("RGB", (4, 4)).save(path, tiffinfo={270: "a long description"})
    data = bytearray(path.read_bytes())
    entry = data.index(bytes([14, 1, 2, 0]))  # tag 270, text
    data[entry + 4 : entry + 8] = (10**6).to_bytes(4, "little")
    path.write_bytes(data)
    assert read_frames(path)[0][0].shape == (4, 4, 3)
    assert recwarn.list == []
