"""Subjects and words inside ComfyUI: its own picture encoders, its boxes, and a pair that is none."""

import pytest
import torch


@pytest.fixture(scope="module")
def masks(pictures):
    """The left half of each, moved as the pictures were."""
    half = torch.zeros(1, *pictures.shape[1:3])
    half[:, :, : half.shape[2] // 2] = 1
    return torch.cat([half.roll(8 * number, 2) for number in range(4)])


@pytest.mark.parametrize("method", ["contrast", "prototypes"])
def test_a_subject_is_learnt_corrected_kept_and_found(run, stock_vision, pictures, masks, method):
    recorded = run("RecordActivations", pictures=pictures, clip_vision=stock_vision)[0]
    bank = run("LearnPrototypes", activations=recorded, masks=masks, name="half", method=method)[0]
    given = {"activations": recorded, "masks": masks}
    better = run("PrototypeFeedback", bank=bank, **given, regions="are all of the subject")[0]
    again = run("LoadIngredients", name=run("SaveIngredients", bank=better, name=f"test/{method}")[0])[0]
    found = run("FindPrototypes", bank=again, activations=recorded, pictures=pictures, threshold=0.05, crop_size=32)
    assert found[0].shape == masks.shape and found[1].shape[1:] == (32, 32, 3) and len(found[3]) == 4


def test_one_node_finds_a_subject(run, stock_vision, pictures, masks):
    given = {"pictures": pictures, "examples": pictures[:2], "masks": masks[:2], "clip_vision": stock_vision}
    assert run("FindMySubject", **given, threshold=0.05, crop_size=32)[0].shape == masks.shape


def test_pictures_are_judged_by_a_pair_and_by_no_other(run, parts_of, pictures, stock_vision):
    pair = {"clip_vision": run("LoadLabClipVision")[0], "clip": parts_of("lab")["clip"]}
    scores = run("ScoreByConcepts", pictures=pictures, **pair, classes="red: flat, neon\nblue: flat, neon")[0]
    assert scores.values.shape == (4, 2)
    assert len(run("PickBestOfBatch", pictures=pictures, scores=scores, count=2)[0]) == 2
    matrix = run("ClassifyByConceptMatrix", pictures=pictures, **pair, classes="red, blue", concepts="cat, dog, neon")
    assert matrix[0].values.shape == (4, 2)
    assert run("PickDiversePrompts", clip=pair["clip"], prompts="a cat\na dog\na cat", count=2)[0].count("\n") == 1
    with pytest.raises(Exception, match="were not trained together"):
        run("ScoreByConcepts", pictures=pictures, clip_vision=stock_vision, clip=pair["clip"])


def test_a_head_is_trained_kept_and_used(run, parts_of, pictures, stock_vision):
    given = {"pictures": torch.cat([pictures, pictures]), "labels": "\n".join("aabbaabb"), "permutations": 0}
    pair = {"clip_vision": run("LoadLabClipVision")[0], "clip": parts_of("lab")["clip"]}
    head = run("TrainConceptHead", **given, **pair, words="red, blue, cat")[0]
    again = run("LoadConceptHead", name=run("SaveConceptHead", head=head, name="test/head")[0])[0]
    scores = run("ScoreByConceptHead", head=again, pictures=pictures, clip_vision=pair["clip_vision"])[0]
    assert scores.names == ("a", "b") and len(scores.reasons) == 4
    raw = run("TrainConceptHead", **given, clip_vision=stock_vision, features="raw numbers")[0]
    assert run("ScoreByConceptHead", head=raw, pictures=pictures, clip_vision=stock_vision)[0].values.shape == (4, 2)
    with pytest.raises(Exception, match="this concept head was trained on"):
        run("ScoreByConceptHead", head=raw, pictures=pictures, clip_vision=pair["clip_vision"])


def test_captions_are_completed_written_and_linted(run, parts_of, pictures, comfy_base):
    pair = {"clip_vision": run("LoadLabClipVision")[0], "clip": parts_of("lab")["clip"]}
    captions = "a red cat\na cat\na red dog\na dog"
    found = run("CompleteCaptions", pictures=pictures, **pair, captions=captions, vocabulary="red, cat, dog")
    assert len(found[0].splitlines()) == 4
    written, _ = run("SaveCaptions", captions=found[0], names="a.png\nb.png\nc.png\nd.png", folder="lint/captions")
    kept = comfy_base / "output" / "lint" / "captions"
    lines = [(kept / f"{name}.txt").read_text().rstrip("\n") for name in "abcd"]
    assert lines == found[0].splitlines() and written.count(",new,") == 4
    report = run("LintConcepts", captions=captions, vocabulary="red, cat, dog", pictures=pictures, **pair)[0]
    assert "No two concepts always stand together" in report


def test_words_and_their_places(run, parts_of, pictures):
    pair = {"clip_vision": run("LoadLabClipVision")[0], "clip": parts_of("lab")["clip"]}
    found = run("ConceiveAndSegment", pictures=pictures, **pair, vocabulary="cat, dog, red, blue, tree", surety=0.0)
    words = found[2].splitlines()
    assert words and found[0].shape == (len(words) * len(pictures), *pictures.shape[1:3])


def test_positions_of_a_vision_transformer_are_read_in_the_space_of_texts(pack, stock_vision, pictures):
    maps = pack("host.jobs.recognise.dense").direction_maps
    directions = torch.nn.functional.normalize(torch.randn(3, 24, generator=torch.Generator().manual_seed(0)), dim=1)
    with torch.inference_mode():
        before = stock_vision.encode_image(pictures, crop=False)["image_embeds"]
        found = maps(stock_vision, pictures.movedim(-1, 1), directions)
        assert found.shape == (4, 3, 4, 4) and float(found.abs().max()) <= 1
        torch.testing.assert_close(maps(stock_vision, pictures.movedim(-1, 1), -directions), -found)
        assert stock_vision.encode_image(pictures, crop=False)["image_embeds"].equal(before)
        with pytest.raises(Exception, match="cannot be read position by position"):
            maps(stock_vision, pictures.movedim(-1, 1), directions[:, :5])


@pytest.fixture(scope="module")
def aligned_by(run, parts_of, stock_vision):
    """What aligns 12 random pictures of an encoder of ComfyUI with captions, by what it reads."""
    folder = torch.rand(12, 56, 56, 3, generator=torch.Generator().manual_seed(0))
    captions = "\n".join(["a red cat", "a blue dog", "a red dog", "a cat"] * 3)
    given = {"pictures": folder, "clip_vision": stock_vision, "clip": parts_of("lab")["clip"], "captions": captions}
    return lambda reads: run("AlignTextAndPictures", **given, vocabulary="red, cat, dog", reads=reads)[0]


def test_an_edited_embedding_reaches_unclip(run, aligned_by, stock_vision, pictures):
    import nodes as stock

    with torch.inference_mode():
        output = stock.CLIPVisionEncode().encode(stock_vision, pictures[:1], "none")[0]
    alignment = aligned_by("one vector")
    edited = run("EditEmbedding", alignment=alignment, clip_vision_output=output, edits="cat = 3")[0]
    given = [[torch.zeros(1, 4, 8), {}]]
    (found,) = stock.unCLIPConditioning().apply_adm(given, edited, 1.0, 0.0)
    held = found[0][1]["unclip_conditioning"][0]["clip_vision_output"]
    assert held["image_embeds"].shape == output["image_embeds"].shape
    assert not held["image_embeds"].equal(output["image_embeds"])
    assert held["last_hidden_state"].equal(output["last_hidden_state"])
    scores = run("DecomposeEmbedding", alignment=alignment, clip_vision_output=edited)[0]
    before = run("DecomposeEmbedding", alignment=alignment, clip_vision_output=output)[0]
    cat = scores.names.index("cat")
    assert float(scores.values[0, cat]) > float(before.values[0, cat])


def test_edited_positions_reach_a_style_model(run, aligned_by, stock_vision, pictures):
    import comfy.ldm.flux.redux
    import comfy.sd

    import nodes as stock

    style = comfy.sd.StyleModel(comfy.ldm.flux.redux.ReduxImageEncoder(redux_dim=32, txt_in_features=8))
    with torch.inference_mode():
        for weight in style.model.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(0))
        output = stock.CLIPVisionEncode().encode(stock_vision, pictures[:1], "none")[0]
        edited = run("EditEmbedding", alignment=aligned_by("positions"), clip_vision_output=output, edits="cat = 3")[0]
        given = [[torch.zeros(1, 4, 8), {}]]
        before, after = (
            stock.StyleModelApply().apply_stylemodel(given, style, one, 1.0, "multiply") for one in (output, edited)
        )
    assert after[0][0][0].shape == before[0][0][0].shape and not after[0][0][0].equal(before[0][0][0])
    change = edited["last_hidden_state"] - output["last_hidden_state"]
    torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-4, rtol=0)
    assert edited["image_embeds"].equal(output["image_embeds"])


def test_a_correction_is_propagated(run, pictures):
    captions = "\n".join(["king, crown", "cat, grass"] * 2)
    given = {"captions": captions, "vocabulary": "king, crown, cat, grass", "corrections": "1: +cat"}
    shown = {"pictures": pictures, "clip_vision": run("LoadLabClipVision")[0]}
    found = run("CorrectAndPropagate", **given, **shown)
    assert len(found[0].splitlines()) == 4 and found[1].values.shape == (4, 4) and "+cat" in found[2]


def test_boxes_of_a_language_model_become_masks(run, pictures):
    height, width = pictures.shape[1:3]
    text = f"[0, 0, {width // 2}, {height}]\n<box>0,0,500,1000</box>\n[]\n[0, 0, 0.5, 1]"
    boxes, masks, overlay, _ = run("ReadBoxes", text=text, pictures=pictures)
    shares = masks.mean((1, 2))
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.5, 0.0, 0.5]), atol=1 / width, rtol=0)
    assert float(masks[[0, 1, 3], :, : width // 2].min()) > 0.999
    assert [len(of) for of in boxes] == [1, 1, 0, 1] and len(overlay) == 4


def test_a_region_is_hidden_and_the_scores_compared(run, parts_of, pictures, masks):
    pair = {"clip_vision": run("LoadLabClipVision")[0], "clip": parts_of("lab")["clip"]}
    scores, sheet, report = run("CheckPixels", pictures=pictures, masks=masks, **pair, classes="red: flat\nblue: flat")
    assert scores.values.shape == (4, 2) and scores.names == ("red", "blue") and sheet.shape[-1] == 3
    torch.testing.assert_close(scores.values[:, 0], -scores.values[:, 1], atol=1e-5, rtol=0)  # of two probabilities
    assert "of 4 pictures" in report
