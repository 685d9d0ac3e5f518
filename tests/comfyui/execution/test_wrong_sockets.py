"""What does not belong to a node is refused by the node's and the input's name, inside ComfyUI as elsewhere."""

import pytest
import torch


@pytest.fixture
def lab(parts_of):
    return parts_of("lab")


def refused(run, name, said, **given):
    with pytest.raises(ValueError) as caught:
        run(name, **given)
    assert said in str(caught.value) and len(str(caught.value)) < 700 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": torch.rand(0, 64, 96, 3)}, 'Localize Concepts, input "image": expected IMAGE'),
        ({"image": torch.rand(1, 3, 64, 96, 3)}, "got float32 (1, 3, 64, 96, 3)"),
        ({"image": torch.rand(1, 64, 96, 5)}, "got float32 (1, 64, 96, 5)"),
        ({"image": torch.rand(1, 64, 96, 3) * 255}, "the picture's values go from"),
        ({"image": torch.full((1, 64, 96, 3), torch.nan)}, "NaN or infinite"),
        ({"seed": -1}, 'Localize Concepts, input "seed": expected at least 0, got -1'),
        ({"count": 10**30}, 'Localize Concepts, input "count": expected at most 50'),
        ({"preset": "x" * 100_000}, "conceptexpress has no preset"),
        ({"model": None}, "MODEL"),
        ({"clip": "x"}, "CLIP"),
    ],
)
def test_localize_concepts(run, lab, image, change, said):
    refused(run, "LocalizeConcepts", said, **{**lab, "image": image, **change})


@pytest.mark.parametrize("samples", [torch.zeros(1, 16, 3, 8, 12), torch.zeros(0, 4, 8, 12)])
def test_latents_of_videos_and_empty_batches(run, lab, samples):
    model, capture = run("CaptureAttention", model=lab["model"])
    said = 'Show Word Heatmap, input "samples": expected LATENT of pictures'
    refused(run, "ShowWordHeatmap", said, capture=capture, clip=lab["clip"], samples={"samples": samples}, text="cat")


@pytest.mark.parametrize("other", ["sd15", "sdxl"])
def test_parts_of_two_models(run, lab, parts_of, image, other):
    mixed = {**lab, "clip": parts_of(other)["clip"]}
    refused(run, "LocalizeConcepts", "connect both from the same checkpoint", **mixed, image=image)


def test_the_vae_of_another_model(run, lab, parts_of, image):
    said = "MODEL is the lab model and VAE belongs to another model; connect both from the same loader"
    refused(run, "LocalizeConcepts", said, **{**lab, "vae": parts_of("sd15")["vae"]}, image=image)
    said = "MODEL is another model and VAE belongs to the lab model"
    refused(run, "LocalizeConcepts", said, **{**parts_of("sd15"), "vae": lab["vae"]}, image=image)
    refused(run, "LocalizeConcepts", "VAE is a comfy.sd.CLIP", **{**lab, "vae": lab["clip"]}, image=image)


def test_composing_with_the_text_encoder_of_another_model(run, lab, parts_of):
    said = "connect both from the same checkpoint"
    refused(run, "ComposeConcepts", said, model=lab["model"], clip=parts_of("sd15")["clip"])


def test_tokens_and_conditionings_of_another_model(run, stock, lab, parts_of, pack, draw):
    wide = pack("core.types").ConceptTokens({"cat": {"clip_l": torch.zeros(1, 768)}}, "sd15")
    refused(run, "EncodeConceptPrompt", "768", clip=lab["clip"], tokens=wide, text="a <cat>")
    other = pack("core.types").ConceptTokens({"cat": {"clip_g": torch.zeros(1, 192)}}, "sdxl")
    said = "<1> has vectors for clip_g; this model needs clip_l"
    for name, given in (("EraseConcepts", {}), ("ComposeConcepts", {}), ("SuggestRelatedWords", {"words": "<1>"})):
        parts = {"clip": lab["clip"]} if given else {"model": lab["model"], "clip": lab["clip"]}
        refused(run, name, said, **parts, **given, tokens=other)
    model, capture = run("CaptureAttention", model=lab["model"])
    drawn = {"samples": torch.zeros(1, 4, 8, 12)}
    draw({**lab, "model": model})
    foreign = stock("CLIPTextEncode", clip=parts_of("sd15")["clip"], text="a cat")[0]
    given = {"capture": capture, "clip": lab["clip"], "samples": drawn, "text": "a cat", "conditioning": foreign}
    refused(run, "ShowWordHeatmap", " wide and this CLIP encodes 192", **given)


def test_halves_of_characters(run, lab):
    said = 'Erase Concepts, input "concepts": holds half of a character'
    refused(run, "EraseConcepts", said, model=lab["model"], clip=lab["clip"], concepts="cat \ud800")
