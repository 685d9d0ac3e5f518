"""Picture files of all kinds, read as ComfyUI reads them."""

import numpy as np
import pytest
import torch
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from concept_atelier.host.files import folders
from concept_atelier.host.files.images import from_pil, read_frames
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.host.workflow.stock.pictures import LoadImage

GRADIENT = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COLOURS)
LONG = "x" * 1_500_000


def one_frame(path):
    ((colours, mask),) = read_frames(path)
    return colours, mask


def is_picture(path):
    colours, mask = one_frame(path)
    return mask is None and torch.equal(colours, torch.from_numpy(COLOURS) / 255)


def png_with(path, kind, text):
    info = PngInfo()
    if kind == "icc":
        PICTURE.save(path, icc_profile=text.encode())
        return path
    info.add_itxt("prompt", text, zip=True) if kind == "itxt" else info.add_text("prompt", text, zip=kind == "ztxt")
    PICTURE.save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("kind", ["icc", "itxt", "ztxt", "text"])
def test_long_profiles_and_texts_do_not_matter(tmp_path, kind):
    assert is_picture(png_with(tmp_path / "x.png", kind, LONG))


def test_many_long_texts_do_not_matter(tmp_path):
    info = PngInfo()
    for number in range(70):
        info.add_text(f"text {number}", LONG[:1_000_000])
    PICTURE.save(tmp_path / "x.png", pnginfo=info)
    assert is_picture(tmp_path / "x.png")


def test_texts_that_turn_a_picture_still_do(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    profile = f"\nexif\n{len(raw):8}\n" + raw.hex()
    for name, save in (
        ("exif.png", {"exif": exif}),
        ("text.png", {"pnginfo": png_info("Raw profile type exif", profile)}),
    ):
        PICTURE.save(tmp_path / name, **save)
        assert one_frame(tmp_path / name)[0].shape == (8, 6, 3)


def png_info(key, value):
    info = PngInfo()
    info.add_text(key, value, zip=True)
    return info


def test_of_a_photo_that_holds_several_pictures_the_first_is_read(tmp_path):
    others = [Image.new("RGB", PICTURE.size, colour) for colour in ("red", "blue")]
    PICTURE.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=others, quality=100, subsampling=0)
    with Image.open(tmp_path / "x.jpg") as opened:
        assert opened.format == "MPO" and opened.n_frames == 3
    colours, _ = one_frame(tmp_path / "x.jpg")
    assert (colours * 255 - torch.from_numpy(COLOURS)).abs().mean() < 5


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_moving_pictures_are_read_whole(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:])
    assert len(read_frames(tmp_path / f"x.{suffix}")) == 3


def test_frames_with_and_without_transparency_are_one_batch(here):
    here.input[0].mkdir()
    frames = [Image.new("RGBA", (8, 6), (255, 0, 0, alpha)) for alpha in (255, 0)]
    frames[0].save(here.input[0] / "x.png", save_all=True, append_images=frames[1:])
    colours, masks = LoadImage.execute("x.png").args
    assert colours.shape == (2, 6, 8, 3) and masks.shape == (2, 6, 8)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "avif", "tiff", "apng"])
def test_endings_of_all_kinds_are_listed_and_read(here, suffix):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    here.input[0].mkdir()
    PICTURE.save(here.input[0] / f"x.{suffix}", format={"jfif": "JPEG", "jpe": "JPEG", "apng": "PNG"}.get(suffix))
    assert here.list_pictures() == [f"x.{suffix}"]
    assert LoadImage.execute(f"x.{suffix}").args[0].shape == (1, 6, 8, 3)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_keep_their_levels(tmp_path, suffix):
    Image.fromarray((GRADIENT * 65535).astype(np.uint16)).save(tmp_path / f"x.{suffix}")
    torch.testing.assert_close(
        one_frame(tmp_path / f"x.{suffix}")[0][..., 0], torch.from_numpy(GRADIENT), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_decimal_and_32_bit_pixels_are_read_as_0_to_255(tmp_path, kind):
    Image.fromarray((GRADIENT * 255).astype(kind)).save(tmp_path / "x.tiff")
    expected = torch.from_numpy((GRADIENT * 255).astype(np.uint8)) / 255
    assert torch.equal(one_frame(tmp_path / "x.tiff")[0][..., 0], expected)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (GRADIENT, "takes for black"),
        (GRADIENT * 300, "go from 0.0 to 300.0"),
        (GRADIENT - 0.5, "go from -0.5"),
        (np.full((2, 2), np.nan, np.float32), "go from nan"),
        ((GRADIENT * 65535).astype(np.int32), "go from 0 to 65535"),
    ],
)
def test_pixels_that_would_be_cut_off_are_refused_with_the_files_name(tmp_path, pixels, said):
    Image.fromarray(pixels).save(tmp_path / "x.tiff")
    with pytest.raises(ValueError, match=rf"x\.tiff cannot be read as a picture: .*{said}"):
        read_frames(tmp_path / "x.tiff")


def test_black_stays_black():
    assert from_pil(Image.new("F", (2, 2)))[0].max() == 0


def test_what_is_no_picture_is_reported_as_none(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"x\.jpg cannot be read as a picture: it is damaged or of an unknown kind"):
        read_frames(tmp_path / "x.jpg")


@pytest.mark.parametrize("cut", [3, 30, 60, 200])
def test_damaged_pictures_are_refused_with_their_name(tmp_path, cut):
    whole = png_with(tmp_path / "x.png", "ztxt", LONG).read_bytes()
    (tmp_path / "x.png").write_bytes(whole[:cut])
    with pytest.raises(ValueError, match=r"x\.png cannot be read as a picture"):
        read_frames(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x.png", "in/x.png"),
        ("x.png [input]", "in/x.png"),
        ("clipspace/clipspace-mask-1.png [input]", "in/clipspace/clipspace-mask-1.png"),
        ("sub\\x.png [output]", "out/sub/x.png"),
        ("x.png [temp]", "out/temp/x.png"),
        ("x [old].png", "in/x [old].png"),
        ("a:b?.png", "in/a:b?.png"),
    ],
)
def test_names_as_comfyui_writes_them_lead_to_their_file(here, tmp_path, name, found):
    (tmp_path / found).parent.mkdir(parents=True)
    PICTURE.save(tmp_path / found)
    assert here.find_picture(name) == tmp_path / found
    assert LoadImage.validate_inputs(name) is True and is_picture(here.find_picture(name))
    assert LoadImage.execute(image=name).args[0].shape == (1, 6, 8, 3)


def test_a_run_reads_the_picture_of_an_earlier_one(here, tmp_path):
    (tmp_path / "in/clipspace").mkdir(parents=True)
    PICTURE.save(tmp_path / "in/clipspace/x.png")
    for name, number in (("clipspace/x.png [input]", 1), ("li_00001_.png [output]", 2)):
        workflow = {
            "1": {"class_type": "LoadImage", "inputs": {"image": name}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "li"}},
        }
        (path,) = run_workflow(workflow, out=here.output, input=tmp_path / "in").files
        assert path.name == f"li_0000{number}_.png" and is_picture(path)


@pytest.mark.parametrize(
    "name", ["../x.png", "/x.png", "a/../../x.png [output]", "", "a//b.png", "..\\x.png", "x\0.png"]
)
def test_names_that_leave_their_folder_are_refused(here, tmp_path, name):
    PICTURE.save(tmp_path / "x.png")
    with pytest.raises(folders.BadNameError):
        here.find_picture(name)
