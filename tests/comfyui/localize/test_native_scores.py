"""Score Concepts inside ComfyUI: with the lab's encoder, and with a vision model of ComfyUI's own class."""

import json

import pytest
import torch


@pytest.fixture(scope="module")
def lab_vision(run):
    return run("LoadLabClipVision")[0]


@pytest.fixture
def score(parts_of, run, image, masks, pack):
    """Score Concepts over two tokens that are words of the model, small."""

    def go(family, vision, **changes):
        parts = parts_of(family)
        concepts = run("ConceptsFromMasks", **parts, image=image, masks=masks, names="red, green")[0]
        backbone = pack("host.adapters").backbone_of(**parts)
        vectors = {name: backbone.word_vectors(word) for name, word in (("red", "cat"), ("green", "dog"))}
        tokens = pack("core.types").ConceptTokens(vectors, family)
        given = {"clip_vision": vision, "image": image, "concepts": concepts, "tokens": tokens, "filename_prefix": ""}
        return run("ScoreConcepts", **{**parts, **given, "draws": 2, "steps": 2, **changes})

    return go


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_a_vision_model_of_comfyui_scores(score, stock_vision, family):
    sheet, table, body, sources, pictures = score(family, stock_vision)
    assert sheet.shape[0] == 1 and sources.shape == (2, 64, 96, 3) and pictures.shape == (6, 64, 96, 3)
    assert [line.split(",")[0] for line in table.splitlines()] == ["concept", "red", "green", "(all)"]
    read = json.loads(body)
    assert read["settings"]["family"] == family
    assert all(-1 <= row["sim_i"] <= 1 for row in read["concepts"]) and read["all"]["sim_c"] is not None


def test_features_are_those_of_the_stock_encode_node(pack, stock, stock_vision, image):
    (encoded,) = stock("CLIPVisionEncode", clip_vision=stock_vision, image=image, crop="none")
    wanted = torch.nn.functional.normalize(encoded["image_embeds"].float(), dim=1)
    with torch.inference_mode():
        ours = pack("host.jobs.vision").picture_features(stock_vision, image.movedim(-1, 1))
    assert ours.shape == (1, 24) and torch.allclose(ours, wanted.cpu(), atol=1e-6)


def test_the_lab_encoder_is_read_by_the_stock_encode_node(stock, lab_vision, image):
    (encoded,) = stock("CLIPVisionEncode", clip_vision=lab_vision, image=image, crop="none")
    assert encoded["image_embeds"].shape == (1, 192)


def test_the_lab_scores_are_those_of_the_headless_backbone(pack, score, lab_vision, parts_of, image, masks, run):
    """The same tokens drawn by the diffusers backbone score alike."""
    native = json.loads(score("lab", lab_vision)[2])
    headless = pack("host.adapters").backbone_of(*pack("lab.model.handles").load_handles())
    concepts = run("ConceptsFromMasks", **parts_of("lab"), image=image, masks=masks, names="red, green")[0]
    vectors = {name: headless.word_vectors(word) for name, word in (("red", "cat"), ("green", "dog"))}
    with torch.inference_mode():
        done = pack("host.jobs.evaluate.evaluation").evaluate(
            headless,
            lab_vision,
            image.movedim(-1, 1),
            concepts,
            pack("core.types").ConceptTokens(vectors, "lab"),
            pack("host.jobs.evaluate.concept_drawing").DrawSettings(draws=2, steps=2),
            pack("host.jobs.evaluate.evaluation").SourceSettings(),
            None,
            lambda *at: None,
        )
    theirs = [row["sim_i"] for row in native["concepts"]]
    assert theirs == pytest.approx(done.scores.sim_i.tolist(), abs=1e-3)


def test_prototypes_of_a_folder_of_the_input_folder(score, run, comfy_base, lab_vision):
    from PIL import Image

    folder = comfy_base / "input/some_concepts/owl"
    folder.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").save(folder / "1.png")
    made, names = run("LoadConceptPrototypes", clip_vision=lab_vision, folder="some_concepts")
    assert names == "owl"
    assert json.loads(score("lab", lab_vision, prototypes=made)[2])["candidates"] == ["red", "green", "owl"]


def test_files_lie_in_the_output_folder(score, comfy_base, lab_vision):
    score("lab", lab_vision, filename_prefix="scores/native")
    written = sorted(path.name for path in (comfy_base / "output/scores").iterdir())
    assert written == ["native_00001_.csv", "native_00001_.json"]


def test_cancel_stops_the_drawing_and_the_model_draws_as_before(score, bar, draw, parts_of, lab_vision, comfy_base):
    import comfy.model_management as management

    parts = parts_of("lab")
    before = draw(parts)
    bar.cancel_at = 3
    with pytest.raises(management.InterruptProcessingException):
        score("lab", lab_vision, steps=30, filename_prefix="scores/cancelled")
    assert not list((comfy_base / "output").rglob("cancelled*"))
    bar.cancel_at = None
    assert draw(parts).equal(before)
