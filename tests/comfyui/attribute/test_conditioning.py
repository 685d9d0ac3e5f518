"""Show Word Heatmap on CONDITIONINGs that stock nodes make of several prompts."""

import pytest
import torch

CAT, DOG = "a red cat on a hill", "two dogs in the snow"
SIZE = (12, 16)


@pytest.fixture
def encode(stock, parts):
    return lambda text: stock("CLIPTextEncode", clip=parts["clip"], text=text)[0]


@pytest.fixture
def shown(run, stock, parts, encode):
    """Sample on a CONDITIONING and show words: what the node says, the masks, and the capture."""

    def go(conditioning, text, words, **more):
        model, capture = run("CaptureAttention", model=parts["model"], least_grid=1, stages="all")
        wires = {
            "positive": conditioning,
            "negative": encode(""),
            "latent_image": {"samples": torch.zeros(1, 4, *SIZE)},
        }
        settings = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        latent = stock("KSampler", model=model, **wires, **settings)[0]
        given = {"capture": capture, "clip": parts["clip"], "samples": latent, "text": text, "words": words}
        plain = {"normalise": "absolute", "per_cell": False, "conditioning": conditioning}
        return capture, *run("ShowWordHeatmap", **(given | plain | more))

    return go


@pytest.fixture
def describe(pack, parts):
    """What is said of words in a CONDITIONING."""

    def go(conditioning, text, *words):
        sampled_text = pack("host.jobs.attribute.sampled_text")
        with torch.inference_mode():
            read = sampled_text.read_conditioning(parts["clip"], conditioning, text, {})
        return sampled_text.describe_columns(read, words)

    return go


def columns(pack, parts, text, word, start=0):
    read = pack("host.adapters").backbone_of(clip=parts["clip"]).tokenize(text)
    return [start + at for run in pack("core.attention.words").find_word(read, word) for at in run]


def test_concatenated_prompts(pack, parts, stock, encode, shown):
    joined = stock("ConditioningConcat", conditioning_to=encode(CAT), conditioning_from=encode(DOG))[0]
    capture, _, masks = shown(joined, f"{CAT}\n{DOG}", "cat, dogs")
    attention = capture.maps().combined_cross((SIZE[0] * 8, SIZE[1] * 8))
    for mask, (text, word, start) in zip(masks, ((CAT, "cat", 0), (DOG, "dogs", 77)), strict=True):
        expected = attention[0, columns(pack, parts, text, word, start)].mean(0).clamp(0, 1)
        torch.testing.assert_close(mask, expected, atol=1e-6, rtol=1e-4)


def test_averaged_prompts(parts, stock, encode, shown, describe):
    wires = {"conditioning_to": encode(CAT), "conditioning_from": encode(DOG), "conditioning_to_strength": 0.7}
    mixed = stock("ConditioningAverage", **wires)[0]
    _, _, masks = shown(mixed, f"{CAT}\n{DOG}", "cat, snow")
    assert len(masks) == 2 and not torch.equal(masks[0], masks[1])
    said = describe(mixed, f"{CAT}\n{DOG}", "cat", "snow")
    assert "(weight 0.70)" in said and "(weight 0.30)" in said


def test_combined_prompts_with_areas_lie_where_they_were_sampled(stock, encode, shown, describe):
    half = {"width": SIZE[1] * 4, "height": SIZE[0] * 8, "y": 0, "strength": 1.0}
    left = stock("ConditioningSetArea", conditioning=encode(CAT), x=0, **half)[0]
    right = stock("ConditioningSetArea", conditioning=encode(DOG), x=SIZE[1] * 4, **half)[0]
    both = stock("ConditioningCombine", conditioning_1=left, conditioning_2=right)[0]
    _, _, (cat, dogs) = shown(both, f"{CAT}\n{DOG}", "cat, dogs")
    middle = SIZE[1] * 4
    assert cat[:, :middle].min() > 0 and not cat[:, middle:].any()
    assert dogs[:, middle:].min() > 0 and not dogs[:, :middle].any()
    said = describe(both, f"{CAT}\n{DOG}", "cat", "dogs")
    assert said.startswith("Entry 1 of the CONDITIONING has cat in column") and "Entry 2 of the CONDITIONING" in said


def test_weights_of_the_stock_syntax_and_of_another_rule(stock, encode, describe):
    assert "(weight 1.50)" in describe(encode("a (red cat:1.5) on a hill"), CAT, "cat")
    other = [[1.1 * encode(CAT)[0][0], encode(CAT)[0][1]]]
    assert "(weight 1.10)" in describe(other, CAT, "cat")


def test_a_long_prompt_and_another_behind_it(stock, encode, describe):
    long = " ".join(["a red cat on a green hill"] * 14) + " rocket"
    joined = stock("ConditioningConcat", conditioning_to=encode(DOG), conditioning_from=encode(long))[0]
    said = describe(joined, f"{long}\n{DOG}", "rocket", "snow")
    column = int(said.split("rocket in column")[1].split(",")[0].split(";")[0].strip("s ").split()[0])
    assert 154 < column < 231


def test_the_text_as_it_stands_needs_no_columns(encode, describe):
    assert describe(encode(f"{CAT}\n{DOG}"), f"{CAT}\n{DOG}", "cat") == ""


def test_a_prompt_that_is_not_in_it_is_refused(encode, describe):
    with pytest.raises(ValueError, match="no word of the text is found in the CONDITIONING"):
        describe([[torch.randn_like(encode(CAT)[0][0]), {}]], CAT, "cat")
    with pytest.raises(ValueError, match="2 different prompts for the pictures of a batch"):
        describe([[torch.cat([encode(CAT)[0][0], encode(DOG)[0][0]]), {}]], CAT, "cat")


def test_two_texts_for_two_encoders(comfyui, parts_of, pack):
    from comfy_extras.nodes_clip_sdxl import CLIPTextEncodeSDXL

    clip = parts_of("sdxl")["clip"]
    sizes = dict.fromkeys(("width", "height", "target_width", "target_height"), 512) | {"crop_w": 0, "crop_h": 0}
    with torch.inference_mode():
        wires = CLIPTextEncodeSDXL.execute(clip=clip, text_g=CAT, text_l=DOG, **sizes).result[0]
        sampled_text = pack("host.jobs.attribute.sampled_text")
        read = sampled_text.read_conditioning(clip, wires, f"{CAT}\n{DOG}", {})
    said = sampled_text.describe_columns(read, ["cat", "dogs"])
    assert said.count("(weight 0.50)") == 2
