"""Stock nodes: ComfyUI's formats, on the lab model at random weights."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import concept_atelier
from concept_atelier.core.files import load_embedding, save_lora, save_tensors
from concept_atelier.core.types import Erasure, LowRank
from concept_atelier.host.adapters import backbone_of
from concept_atelier.host.files import folders
from concept_atelier.host.files.embeddings import find_embedding
from concept_atelier.host.headless.noise_levels import noise_levels
from concept_atelier.host.workflow.graph import read_api
from concept_atelier.host.workflow.stock import STOCK_NODES
from concept_atelier.host.workflow.stock.latents import EmptyLatentImage, KSampler, VAEDecode, VAEEncode
from concept_atelier.host.workflow.stock.lora import LoraLoader, LoraLoaderModelOnly
from concept_atelier.host.workflow.stock.pictures import ImageScale, LoadImage, LoadImageMask, MaskToImage, SaveImage
from concept_atelier.host.workflow.stock.texts import CLIPTextEncode, StringConcatenate

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"


def test_every_stock_node_has_a_sound_schema(here):
    infos = [node.GET_NODE_INFO_V1() for node in STOCK_NODES]
    assert len({info["name"] for info in infos}) == len(STOCK_NODES)
    assert read_api({info["name"]: {"class_type": info["name"]} for info in infos})


def put_picture(here, picture, name="p.png"):
    here.input[0].mkdir(exist_ok=True)
    picture.save(here.input[0] / name)
    return name


def test_a_picture_and_its_mask(here):
    picture = Image.new("RGBA", (5, 3), (255, 0, 0, 255))
    picture.putpixel((4, 0), (255, 0, 0, 0))
    image, mask = LoadImage.execute(image=put_picture(here, picture)).args
    assert image.shape == (1, 3, 5, 3)
    assert mask.shape == (1, 3, 5)
    assert mask.nonzero().tolist() == [[0, 0, 4]]


def test_a_channel_of_a_picture_as_a_mask(here):
    picture = Image.new("RGBA", (5, 3), (255, 0, 51, 255))
    picture.putpixel((4, 0), (0, 0, 0, 0))
    name = put_picture(here, picture)
    masks = {channel: LoadImageMask.execute(image=name, channel=channel)[0] for channel in LoadImageMask.CHANNELS}
    assert masks["alpha"].nonzero().tolist() == [[0, 0, 4]] and masks["red"].shape == (1, 3, 5)
    assert (masks["red"] == 0).nonzero().tolist() == [[0, 0, 4]]
    assert not masks["green"].any() and float(masks["blue"].amax()) == pytest.approx(0.2)
    assert (
        LoadImageMask.validate_inputs(image=name) is True and LoadImageMask.validate_inputs(image="no.png") is not True
    )


def test_a_picture_without_transparency_has_an_empty_mask(here):
    image, mask = LoadImage.execute(image=put_picture(here, Image.new("L", (1, 1), 255))).args
    assert torch.equal(image, torch.ones(1, 1, 1, 3))
    assert torch.equal(mask, torch.zeros(1, 64, 64))


def test_frames_of_an_animation_become_a_batch(here):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    here.input[0].mkdir()
    frames[0].save(here.input[0] / "a.gif", save_all=True, append_images=frames[1:])
    assert LoadImage.execute(image="a.gif").args[0].shape == (3, 4, 4, 3)


def test_a_picture_that_changes_changes_its_fingerprint(here):
    name = put_picture(here, Image.new("RGB", (2, 2), "red"))
    before = LoadImage.fingerprint_inputs(image=name)
    put_picture(here, Image.new("RGB", (2, 2), "blue"))
    assert LoadImage.fingerprint_inputs(image=name) != before


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
def test_resizing_keeps_a_plain_colour(here, method):
    picture = torch.tensor([0.2, 0.4, 0.6]).expand(2, 10, 20, 3)
    resized = ImageScale.execute(image=picture, upscale_method=method, width=6, height=0, crop="disabled")[0]
    assert resized.shape == (2, 3, 6, 3)
    assert torch.allclose(resized, picture[:, :3, :6], atol=1 / 255)


def test_cropping_to_the_middle():
    picture = torch.arange(20.0).reshape(1, 1, 20, 1).expand(1, 10, 20, 3) / 20
    resized = ImageScale.execute(image=picture, upscale_method="area", width=10, height=10, crop="center")[0]
    assert torch.allclose(resized, picture[:, :, 5:15])


def test_masks_as_pictures():
    mask = torch.rand(2, 4, 6)
    assert torch.equal(MaskToImage.execute(mask=mask)[0][..., 1], mask)


def test_latents_and_pictures_keep_to_one_scale(lab_vae, generator):
    pixels = torch.rand(1, 64, 96, 3, generator=generator)
    latent = VAEEncode.execute(pixels=pixels, vae=lab_vae)[0]
    assert latent["samples"].shape == (1, 4, 8, 12)
    expected = lab_vae.vae.encode(pixels.movedim(-1, 1) * 2 - 1)
    assert torch.allclose(latent["samples"], expected, atol=1e-5)
    decoded = VAEDecode.execute(samples=latent, vae=lab_vae)[0]
    assert decoded.shape == pixels.shape
    assert torch.allclose(decoded.movedim(-1, 1), (lab_vae.vae.decode(expected) / 2 + 0.5).clamp(0, 1), atol=1e-5)


def test_broken_latents_are_refused(lab_vae):
    with pytest.raises(ValueError, match="NaN"):
        VAEDecode.execute(samples={"samples": torch.full((1, 4, 8, 8), float("nan"))}, vae=lab_vae)


def encode(text, clip):
    return CLIPTextEncode.execute(text=text, clip=clip)[0]


def test_sampling_is_the_same_for_the_same_seed(lab_model, lab_clip):
    empty = EmptyLatentImage.execute(width=96, height=64, batch_size=1)[0]
    settings = {"steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    given = {"model": lab_model, "positive": encode("a cat", lab_clip), "negative": encode("", lab_clip)}
    one, two, other = (
        KSampler.execute(**given, latent_image=empty, seed=seed, **settings)[0]["samples"] for seed in (1, 1, 2)
    )
    assert one.shape == (1, 4, 8, 12)
    assert torch.equal(one, two)
    assert not torch.allclose(one, other)
    assert torch.equal(empty["samples"], torch.zeros(1, 4, 8, 12))


@pytest.fixture
def embedding(here, lab_backbone):
    """A file that holds the vectors of "cat"."""
    vectors = lab_backbone.word_vectors("cat")["clip_l"]
    save_tensors(here.model_target("embeddings", "sub/pet"), {"emb_params": vectors}, {})


@pytest.mark.parametrize("name", ["pet", "sub/pet", "pet.safetensors"])
def test_an_embedding_stands_for_its_word(embedding, lab_clip, name):
    by_file = encode(f"a embedding:{name}, on blue", lab_clip)[0][0]
    assert torch.allclose(by_file, encode("a cat, on blue", lab_clip)[0][0], atol=1e-5)
    assert not torch.allclose(by_file, encode("a dog, on blue", lab_clip)[0][0], atol=1e-3)


def test_embeddings_that_are_badly_named(here):
    with pytest.raises(folders.BadNameError):
        find_embedding("../pet")


@pytest.mark.parametrize("name", ["old", "old.pt", "sub/old"])
def test_an_embedding_that_is_there_as_a_pickle_is_reported_as_one(here, name):
    target = here.model_target("embeddings", "sub/old" if "/" in name else "old").with_suffix(".pt")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"not even a pickle")
    with pytest.raises((FileNotFoundError, ValueError), match=r"old\.pt is .*pickled"):
        load_embedding(find_embedding(name), {"clip_l": 192})
    with pytest.raises((FileNotFoundError, ValueError), match=r"old\.pt is .*pickled"):
        file = name if name.endswith(".pt") else f"{name}.safetensors"
        load_embedding(here.find_model("embeddings", file), {"clip_l": 192})


@pytest.fixture
def erasure(lab_model, generator):
    weight = lab_model.unet.get_parameter(LAYER)
    up = torch.randn(weight.shape[0], 2, generator=generator)
    return Erasure({LAYER: LowRank(up, torch.randn(2, weight.shape[1], generator=generator))}, 0.5, "lab")


def key_weight(model):
    return next(w.weight for w in backbone_of(model).key_value_weights() if w.name == LAYER)


def test_a_lora_changes_the_weights_by_its_strength_and_leaves_the_model_alone(here, lab_model, erasure):
    save_lora(here.model_target("loras", "e"), erasure)
    before = key_weight(lab_model).clone()
    changed = LoraLoaderModelOnly.execute(model=lab_model, lora_name="e.safetensors", strength_model=2.0)[0]
    assert torch.allclose(key_weight(changed) - before, erasure.factors[LAYER].dense(), atol=1e-5)
    assert torch.equal(key_weight(lab_model), before)


def test_text_parts_of_a_lora_are_not_dropped_silently(here, lab_model, lab_clip, erasure):
    save_tensors(here.model_target("loras", "t"), {"lora_te_x.lora_up.weight": torch.ones(2, 1)}, {})
    given = {"model": lab_model, "clip": lab_clip, "lora_name": "t.safetensors", "strength_model": 1.0}
    with pytest.raises(ValueError, match="set strength_clip to 0"):
        LoraLoader.execute(**given, strength_clip=1.0)
    assert LoraLoader.execute(**given, strength_clip=0.0)[1] is lab_clip


def test_damaged_and_pickled_loras(here, lab_model):
    target = here.model_target("loras", "cut")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match="no safetensors file"):
        LoraLoaderModelOnly.execute(model=lab_model, lora_name="cut.safetensors", strength_model=1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_and_latents_of_any_precision_are_read(lab_vae, dtype):
    pictures = torch.rand(1, 16, 16, 3).to(dtype)
    latent = VAEEncode.execute(pixels=pictures, vae=lab_vae)[0]
    decoded = VAEDecode.execute(samples={"samples": latent["samples"].to(dtype)}, vae=lab_vae)[0]
    assert decoded.shape == pictures.shape and torch.isfinite(decoded).all()


def test_a_picture_of_one_channel_is_saved(here):
    SaveImage.PREPARE_CLASS_CLONE({}).execute(images=torch.rand(1, 4, 6, 1), filename_prefix="grey")
    (path,) = here.output.glob("grey*.png")
    assert Image.open(path).size == (6, 4)


@pytest.mark.parametrize("model", [None, "x", object()])
def test_what_is_no_model_is_refused_by_name(lab_clip, model):
    conditioning = CLIPTextEncode.execute(text="", clip=lab_clip)[0]
    given = {"positive": conditioning, "negative": conditioning, "latent_image": {"samples": torch.zeros(1, 4, 8, 8)}}
    settings = {"seed": 0, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    with pytest.raises(ValueError, match="MODEL"):
        KSampler.execute(model=model, **given, **settings)


def test_a_share_of_denoising_that_needs_endless_steps_is_refused():
    with pytest.raises(ValueError, match="denoise 1e-300 of 20 steps"):
        noise_levels("normal", torch.linspace(0.1, 10, 10), 20, 1e-300)


def test_the_document_names_every_stock_node():
    text = (Path(concept_atelier.__file__).parent / "docs/files.md").read_text(encoding="utf-8")
    line = text[text.index("## Stock nodes") :].split("\n\n")[1]
    assert re.findall(r"`(\w+)`", line) == [node.GET_SCHEMA().node_id for node in STOCK_NODES]


def test_two_texts_are_joined_by_what_is_between_them():
    assert StringConcatenate.execute("a cat", "a dog", " and ").args == ("a cat and a dog",)
