"""Word maps of Qwen-Image-Edit: prompts that the text encoder reads behind pictures, by ComfyUI's own nodes."""

import importlib

import pytest
import torch

TEXT = "make the cat red and leave the dog"


class Eyes(torch.nn.Module):
    """Stands for the vision tower, which has no small sizes: a row for each square of 28 pixels of a picture."""

    def forward(self, patches, grid):
        squares = patches.unflatten(0, (-1, 4)).mean(1)
        return squares[:, :8].contiguous()


@pytest.fixture(scope="module")
def parts(reading_parts_of):
    """MODEL and CLIP of ComfyUI's own classes, tiny; the CLIP sees."""
    made = reading_parts_of("qwen_image")
    model = made["clip"].cond_stage_model.qwen25_7b.transformer
    blind, model.visual = model.visual, Eyes()
    yield made
    model.visual = blind


@pytest.fixture
def encoded(parts):
    """A CONDITIONING of one of the stock nodes with some pictures; ``reference`` is a latent that goes with it."""
    nodes = importlib.import_module("comfy_extras.nodes_qwen")
    drawn = [torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]

    def go(node, pictures, text=TEXT, reference=None):
        names = ("image",) if node == "TextEncodeQwenImageEdit" else ("image1", "image2")
        images = dict(zip(names, drawn[:pictures], strict=False))
        with torch.inference_mode():
            made = getattr(nodes, node).execute(parts["clip"], text, **images).result[0]
            if reference is not None:
                edit = importlib.import_module("comfy_extras.nodes_edit_model")
                made = edit.ReferenceLatent.execute(made, {"samples": reference}).result[0]
        return made

    return go


@pytest.fixture
def sampled(parts, sample, run):
    """What Show Word Heatmap needs of a run."""

    def go(positive, **changes):
        captured, recorded = run("CaptureAttention", model=parts["model"], least_grid=1)
        drawn = sample("qwen_image", captured, positive=positive, **changes)
        assert torch.equal(drawn, sample("qwen_image", parts["model"], positive=positive, **changes))
        return {"capture": recorded, "clip": parts["clip"], "samples": {"samples": drawn}, "text": TEXT}

    return go


STOCK = [("TextEncodeQwenImageEdit", 1), ("TextEncodeQwenImageEditPlus", 1), ("TextEncodeQwenImageEditPlus", 2)]


@pytest.mark.parametrize(("node", "pictures"), STOCK)
def test_a_word_has_the_rows_that_change_with_it(encoded, sampled, run, small, node, pictures):
    """A language model reads from left to right: the first row that changes is the word's own."""
    reference = torch.randn(small.latent("qwen_image", (6, 6)).shape, generator=torch.Generator().manual_seed(3))
    positive = encoded(node, pictures, reference=reference)
    given = sampled(positive, sampler_name="euler" if pictures == 1 else "dpmpp_2m")
    shown = {"words": "cat", "normalise": "absolute", "per_cell": False}
    maps = run("ShowWordHeatmap", **given, **shown)[1]
    assert torch.equal(maps, run("ShowWordHeatmap", **given, **shown, conditioning=positive)[1])
    other = encoded(node, pictures, TEXT.replace("cat", "cow"))
    row = int((positive[0][0][0] != other[0][0][0]).any(-1).nonzero()[0])
    expected = given["capture"].maps().combined_cross(maps.shape[1:])[:, row]
    torch.testing.assert_close(maps, expected.clamp(0, 1), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("node", "pictures"), STOCK)
def test_the_node_says_that_it_counted_and_which_rows(encoded, pack, parts, node, pictures):
    texts = pack("host.jobs.attribute.sampled_text")
    positive = encoded(node, pictures)
    with torch.inference_mode():
        read = texts.read_conditioning(parts["clip"], positive, TEXT, {})
    column = positive[0][0].shape[1] - 6  # behind it: <|im_end|>, a line break, <|im_start|>, assistant, a line break
    assert texts.describe_columns(read, ["dog"]) == f"The CONDITIONING has dog in column {column}. {texts.COUNTED}"


def test_another_text_than_the_workflow_has_is_refused(encoded, sampled, pack):
    given = sampled(encoded("TextEncodeQwenImageEditPlus", 1))
    texts = pack("host.jobs.attribute.sampled_text")
    finished = given["capture"].runs[-1]
    with torch.inference_mode():
        read = texts.read_run(given["clip"], finished, TEXT, {})
    assert len(texts.pieces_of(finished, read, TEXT, TEXT)) == len(texts.pieces_of(finished, read, TEXT)) == 1
    with pytest.raises(ValueError, match=f"not the text that was sampled.*given '{TEXT}', sampled 'a dog'"):
        texts.pieces_of(finished, read, TEXT, "a dog")


def test_without_a_picture_the_text_is_read_in_the_template_for_pictures(encoded, sampled, run):
    positive = encoded("TextEncodeQwenImageEditPlus", 0)
    given = sampled(positive)
    maps = run("ShowWordHeatmap", **given, words="cat, dog")[1]
    assert torch.equal(maps, run("ShowWordHeatmap", **given, words="cat, dog", conditioning=positive)[1])
    with pytest.raises(ValueError, match="not the text that was sampled"):
        run("ShowWordHeatmap", **(given | {"text": TEXT.replace("cat", "cow")}))


def test_two_prompts_with_pictures_are_not_confused(encoded, sampled, run, stock):
    first, second = (encoded("TextEncodeQwenImageEditPlus", 1, text) for text in (TEXT, "paint the sky"))
    given = sampled(stock("ConditioningCombine", conditioning_1=first, conditioning_2=second)[0])
    with pytest.raises(ValueError, match="2 CONDITIONINGs with pictures.*connect the one that holds this text"):
        run("ShowWordHeatmap", **given)
    assert len(run("ShowWordHeatmap", **given, words="cat", conditioning=first)[1]) == 1
    painted = given | {"text": "paint the sky", "words": "sky", "conditioning": second}
    assert len(run("ShowWordHeatmap", **painted)[1]) == 1


def test_a_longer_text_without_pictures_is_still_another_text(sampled, run, parts):
    with torch.inference_mode():
        longer = parts["clip"].encode_from_tokens_scheduled(parts["clip"].tokenize(f"a photo, {TEXT} " * 20))
    given = sampled(longer)
    with pytest.raises(ValueError, match="not the text that was sampled"):
        run("ShowWordHeatmap", **given)
    with pytest.raises(ValueError, match="not this text as it stands"):
        run("ShowWordHeatmap", **given, conditioning=longer)
