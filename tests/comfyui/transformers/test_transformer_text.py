"""Which word stands in which row of a transformer's conditioning, with the real tokenizers; and its heat maps."""

import pytest
import torch

TEXT = "A red cat, 2 dogs and naïve cat-faces"
FAMILIES = ("flux", "flux2", "flux2_dev", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")


@pytest.fixture
def reading(pack, clip_of):
    """Backbone, text as read, and its conditioning."""

    def go(family, text=TEXT):
        backbone = pack("host.adapters").backbone_of(clip=clip_of(family))
        with torch.inference_mode():
            return backbone, backbone.tokenize(text), backbone.encode_text([text])

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_words_stand_where_the_conditioning_changes_with_them(reading, pack, family):
    """Another word in the same place changes exactly the rows that the word is said to take, and the next."""
    find = pack("core.attention.words").find_word
    _, read, conditioning = reading(family)
    _, _, other = reading(family, TEXT.replace("red", "big"))
    assert read.length == (len_of(conditioning, family, read)) and read.start is None
    found = find(read, "red")
    assert len(found) == (2 if family == "sd3" else 1)  # CLIP's rows and T5's
    rows = [row for rows in found for row in rows]
    assert len(rows) == len(found)
    if family == "anima":  # its rows are those of T5, of which the CONDITIONING has the ids
        changed = (conditioning.extras["t5xxl_ids"] != other.extras["t5xxl_ids"]).nonzero().flatten().tolist()
        assert changed == rows
        return
    changed = (conditioning.context[0] != other.context[0]).any(-1).nonzero().flatten().tolist()
    assert changed == [one for row in rows for one in (row, row + 1)]


def len_of(conditioning, family, read):
    return len(conditioning.extras["t5xxl_ids"]) if family == "anima" else conditioning.context.shape[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_split_as_elsewhere_and_the_template_is_none_of_them(reading, pack, family):
    words = [name for name, _ in pack("core.attention.words").words_of(reading(family)[1])]
    expected = ["a", "red", "cat", ",", "2", "dogs", "and", "naïve", "cat", "-", "faces"]
    t5 = [*expected[:7], "na", "<", "unk", ">", "ve", *expected[8:]]  # T5 has no ï
    if family == "sd3":
        expected = [*expected, *t5]
    elif family in ("flux", "chroma", "anima"):
        expected = t5
    assert words == expected


def test_chunks_of_a_long_text_are_one_text(reading, pack):
    """CLIP reads 75 tokens at once. What ends one chunk and begins the next is no word, and may cut one in two."""
    text = "a red cat sits on a table, " * 9 + "a naïvely red cat and a dog"
    _, read, conditioning = reading("sd3", text)
    only, words_of = (getattr(pack("core.attention.words"), name) for name in ("only_reading", "words_of"))
    expected = text.replace(",", " ,").split()
    assert [name for name, _ in words_of(only(read))] == expected
    (_, cut), (_, rows) = (words_of(only(read))[at] for at in (-6, -1))
    assert 75 in cut and 78 in cut
    _, _, other = reading("sd3", text.replace("dog", "cow"))
    changed = (conditioning.context[0, :154] != other.context[0, :154]).any(-1).nonzero().flatten().tolist()
    assert changed == [*rows, rows[-1] + 1] and rows[0] > 77


@pytest.mark.parametrize("left_out", [("t5xxl",), ("clip_l", "clip_g"), ("clip_l",)])
def test_text_encoders_that_were_not_loaded_have_no_rows(small, pack, left_out):
    with torch.inference_mode():
        clip = small.clip("sd3")
        for name in left_out:
            setattr(clip.cond_stage_model, name, None)
        backbone = pack("host.adapters").backbone_of(clip=clip)
        read, one = backbone.tokenize("a red cat"), backbone.encode_text(["a red cat"]).context[0]
        other = backbone.encode_text(["a big cat"]).context[0]
    assert read.length == len(one) and len(read.readings) == (2 if left_out == ("clip_l",) else 0)
    rows = pack("core.attention.words").first_places(read, "red")
    assert set(rows) <= set((one != other).any(-1).nonzero().flatten().tolist())


@pytest.mark.parametrize("family", ["flux", "chroma", "z_image", "sd3"])
def test_correction_by_similarities_changes_the_rows_of_its_words_alone(clip_of, stock, run, pack, family):
    """Widths of encoders add up to the context's only where columns are joined, as on SDXL."""
    clip, text = clip_of(family), "a red cat and a dog"
    with torch.inference_mode():
        before = stock("CLIPTextEncode", clip=clip, text=text)[0]
        given = {"strength": 0.5, "window": 2, "threshold": 0.0, "keep_length": True}
        after = run("CorrectBySimilarities", conditioning=before, clip=clip, text=text, words="cat, dog", **given)[0]
        read = pack("host.adapters").backbone_of(clip=clip).tokenize(text)
    words = pack("core.attention.words")
    rows = {row for word in ("cat", "dog") for run in words.occurrences(read, word) for row in run}
    changed = set((before[0][0] != after[0][0])[0].any(-1).nonzero().flatten().tolist())
    assert changed and changed <= rows


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_text_has_no_words(reading, family):
    _, read, _ = reading(family, "")
    assert read.tokens == () and 0 <= read.end < max(read.length, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_heat_maps_are_drawn_from_a_run(reading, clip_of, small, stock, run, pack, family):
    clip = clip_of(family)
    with torch.inference_mode():
        model = small.build(family)
        positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (TEXT, ""))
    captured, recorded = run("CaptureAttention", model=model, least_grid=1)
    settings = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    latent = {"samples": small.latent(family)}
    drawn = [
        stock("KSampler", model=one, positive=positive, negative=negative, latent_image=latent, **settings)[0]
        for one in (model, captured)
    ]
    assert torch.equal(drawn[0]["samples"], drawn[1]["samples"])
    given = {"capture": recorded, "clip": clip_of(family), "samples": drawn[1], "text": TEXT, "words": "red, dogs"}
    pictures, masks = run("ShowWordHeatmap", **given)
    cell = 16 if family.startswith("flux2") else 8
    assert (
        masks.shape == (2, 8 * cell, 12 * cell)
        and len(pictures) == 2
        and not torch.allclose(masks[0], masks[1], atol=1e-2)
    )
    through = run("ShowWordHeatmap", **given, conditioning=positive)[1]
    assert torch.equal(through, masks)
    with pytest.raises(ValueError, match="not the text that was sampled"):
        run("ShowWordHeatmap", **(given | {"text": "a red dogs"}))
    with pytest.raises(ValueError, match="not this text as it stands"):
        run("ShowWordHeatmap", **given, conditioning=negative)


@pytest.mark.parametrize("family", ["flux", "z_image"])
def test_concepts_of_a_picture_are_found_by_one_noised_pass(clip_of, small, run, image, family):
    """Random weights find no objects: what is asked is that masks are disjoint, and that each has some cells."""
    with torch.inference_mode():
        model, vae = small.build(family), small.vae(16)
    concepts, masks = run("LocalizeConcepts", model=model, clip=clip_of(family), vae=vae, image=image)[:2]
    assert len(concepts) == len(masks) and masks.shape[1:] == (64, 96) and concepts.grid == (8, 12)
    assert (concepts.masks.sum(0) <= 1).all() and concepts.masks.flatten(1).any(1).all()


def test_learnt_vectors_of_another_width_are_refused(clip_of, pack):
    backbone = pack("host.adapters").backbone_of(clip=clip_of("anima"))
    with pytest.raises(ValueError, match=r"its qwen3_06b vectors are 4 wide, this model's are 16"):
        backbone.encode_text(["<apple>"], {"<apple>": {"qwen3_06b": torch.zeros(1, 4)}})


def test_a_clip_of_another_family_is_named(clip_of, small, pack):
    with torch.inference_mode():
        model = small.build("flux")
    with pytest.raises(ValueError, match=r"MODEL is FLUX.1 and CLIP belongs to Z-Image"):
        pack("host.adapters").backbone_of(model=model, clip=clip_of("z_image"))
