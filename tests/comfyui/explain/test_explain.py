"""Ingredients inside ComfyUI: activations of its own picture encoders and of its models, names, masks and files."""

import pytest
import torch


def test_a_picture_encoder_of_comfyui_is_recorded_at_its_patches(run, stock_vision, pictures):
    found = run("RecordActivations", pictures=pictures, clip_vision=stock_vision)[0]
    assert found.rows.shape == (4, 16, 32) and found.grid == (4, 4) and found.origin.site == "penultimate"
    with torch.inference_mode():
        whole = stock_vision.encode_image(pictures, crop=False)["penultimate_hidden_states"]
    torch.testing.assert_close(found.rows, whole[:, 1:].float().cpu())
    last = run("RecordActivations", pictures=pictures, clip_vision=stock_vision, site="last")[0]
    assert not torch.allclose(last.rows, found.rows)


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_a_model_is_recorded_shown_and_kept(run, parts_of, pictures, family):
    parts = parts_of(family)
    found = run("RecordActivations", pictures=pictures, **parts)[0]
    assert found.origin.kind == "denoiser" and found.rows.shape[1] == found.grid[0] * found.grid[1]
    bank = run("FindIngredients", activations=found, count=3, method="semi_nmf", fits=1)[0]
    given = {"activations": found, "pictures": pictures}
    sheet = run("ShowIngredients", bank=bank, **given)[0]
    assert sheet.ndim == 4
    name = run("SaveIngredients", bank=bank, name=f"test/{family}")[0]
    again = run("LoadIngredients", name=name)[0]
    masks = run("IngredientMasks", bank=again, **given, ingredients="1, 2, 3")[0]
    assert masks.shape == (12, *pictures.shape[1:3])


def test_names_of_a_pair_and_of_no_pair(run, parts_of, pictures, stock_vision):
    vision = run("LoadLabClipVision")[0]
    clip = parts_of("lab")["clip"]
    found = run("RecordActivations", pictures=pictures, clip_vision=vision)[0]
    bank = run("FindIngredients", activations=found, count=3, method="kmeans", fits=1)[0]
    given = {"bank": bank, "activations": found, "pictures": pictures}
    report = run("ShowIngredients", **given, clip_vision=vision, clip=clip, words="red, green, blue")[2]
    *ingredients, probe, valid = report.splitlines()
    assert sorted(line[0] for line in ingredients) == ["1", "2", "3"] and "probe" in probe and "alid for" in valid
    with pytest.raises(Exception, match="were not trained together"):
        run("ShowIngredients", **given, clip_vision=stock_vision, clip=clip)


def test_importance_by_encoders_and_models_of_comfyui(run, parts_of, pictures, stock_vision):
    found = run("RecordActivations", pictures=pictures, clip_vision=stock_vision)[0]
    bank = run("FindIngredients", activations=found, count=4, method="semi_nmf", fits=1)[0]
    given = {"bank": bank, "activations": found, "pictures": pictures, "most": 1, "points": 4}
    scores = run("IngredientImportance", **given, clip_vision=stock_vision)[2]
    assert bool(scores.values.any())
    parts = parts_of("sd15")
    seen = run("RecordActivations", pictures=pictures, **parts)[0]
    own = run("FindIngredients", activations=seen, count=3, method="semi_nmf", fits=1)[0]
    asked = given | {"bank": own, "activations": seen}
    by_gradient = run("IngredientImportance", **asked, **parts, text="cat", measure="gradient", check=False)[2]
    by_removal = run("IngredientImportance", **asked, **parts, text="cat", measure="removal", check=False)[2]
    assert bool(by_gradient.values.any()) and bool(by_removal.values.any())


def test_ingredients_are_replaced_by_comfyuis_own_sampler(run, stock, parts_of, pictures):
    """With every cell found, the picture is that of the other prompt; with none, it is the model's own, bit for bit."""
    parts = parts_of("lab")
    found = run("RecordActivations", pictures=pictures, **parts)[0]
    bank = run("FindIngredients", activations=found, count=3, method="kmeans", fits=1)[0]
    given = {"model": parts["model"], "clip": parts["clip"], "bank": bank, "ingredients": "1, 2, 3"}
    cat, dog, nothing = (stock("CLIPTextEncode", clip=parts["clip"], text=text)[0] for text in ("cat", "dog", ""))
    settings = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    settings |= {"negative": nothing, "latent_image": {"samples": torch.zeros(2, 4, 8, 8)}}

    def drawn(model, text):
        return stock("KSampler", model=model, positive=text, **settings)[0]["samples"]

    plain = drawn(parts["model"], cat)
    never = run("SteerIngredients", **given, threshold=1.0)[0]
    assert torch.equal(drawn(never, cat), plain)
    always = run("SteerIngredients", **given, threshold=0.0, instead="dog")[0]
    torch.testing.assert_close(drawn(always, cat), drawn(parts["model"], dog), rtol=1e-3, atol=1e-3)
    moved = run("SteerIngredients", **given, how="add", strength=5.0)[0]
    assert not torch.equal(drawn(moved, cat), plain)


def test_drawings_are_audited_by_an_encoder_of_comfyui(run, pictures, stock_vision):
    found = run("RecordActivations", pictures=pictures, clip_vision=stock_vision)[0]
    bank = run("FindIngredients", activations=found, count=4, method="semi_nmf", fits=1)[0]
    given = {"bank": bank, "reference": found, "reference_pictures": pictures}
    report = run("AuditIngredients", **given, drawn=found, drawn_pictures=pictures)[2]
    assert "No ingredient differs" in report and "Copied: drawing 1 from picture 1" in report


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_what_comfyuis_sampler_passes_through_is_read(run, stock, parts_of, pictures, sampler):
    parts = parts_of("sd15")
    cat, nothing = (stock("CLIPTextEncode", clip=parts["clip"], text=text)[0] for text in ("cat", ""))
    settings = {"seed": 5, "steps": 3, "cfg": 3.0, "sampler_name": sampler, "scheduler": "normal", "denoise": 1.0}
    settings |= {"positive": cat, "negative": nothing, "latent_image": {"samples": torch.zeros(2, 4, 8, 8)}}
    plain = stock("KSampler", model=parts["model"], **settings)[0]
    model, recording = run("RecordWhileSampling", model=parts["model"], noise="0.1, 0.9")
    latent = stock("KSampler", model=model, **settings)[0]
    assert torch.equal(latent["samples"], plain["samples"])
    own = {"model": parts["model"], "clip": parts["clip"]}
    late, early = (
        run("ReadRecording", recording=recording, samples=latent, **own, noise=noise)[0] for noise in (0.1, 0.9)
    )
    assert len(late) == len(early) == 2 and not torch.equal(late.rows, early.rows)
    decoded = stock("VAEDecode", vae=parts["vae"], samples=latent)[0]
    recorded = run("RecordActivations", pictures=decoded, **parts)[0]
    assert recorded.origin == late.origin and recorded.grid == late.grid
    bank = run("FindIngredients", activations=recorded, more=late, count=2, method="kmeans", fits=1)[0]
    assert bank.metadata["pictures"] == "4"
