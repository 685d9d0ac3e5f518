"""Train Erasure on diffusion transformers of ComfyUI's own classes, tiny and at random weights."""

from dataclasses import replace

import pytest
import torch

TUNED = ("flux", "flux2", "chroma", "z_image", "krea2", "qwen_image", "anima", "sd3")
"""Families of which changes of all attention are learnt; of the others those of the layers by which text enters."""
FAMILIES = (*TUNED, "lumina2", "flux2_dev")
QUICK = "side=64, sampling_steps=2, rank=2, batch=1, retain_batch=1"
LONG = "a very large red rocket on the green grass"


@pytest.fixture
def parts_of(model_of, clip_of, small):
    return lambda family: {"model": model_of(family), "clip": clip_of(family), "vae": small.vae_of(family)}


@pytest.fixture
def train(run, parts_of):
    def go(family, **changes):
        given = {"concepts": "cat", "anchors": "", "preserve": LONG, "preset": "small", "steps": 2, "seed": 1}
        given |= {"preview_every": 0, "keep_every": 0, "save_memory": "off", "settings": QUICK, "learning_rate": 0.05}
        return run("TrainErasure", **parts_of(family), **(given | changes))

    return go


@pytest.mark.parametrize("family", TUNED)
def test_every_block_has_its_projections_and_a_change_of_each_moves_the_prediction(backbone_for, small, pack, family):
    """Every weight once, by its own name; zeros change no bit."""
    backbone, low_rank = backbone_for(family), pack("core.types").LowRank
    weights = backbone.attention_weights()
    streams = {"flux": 2, "flux2": 2, "chroma": 2, "qwen_image": 2, "anima": 2, "sd3": 2}.get(family, 1)
    singles = 3 * small.DEEP if family in ("flux", "flux2", "chroma") else 0
    missing = 1 if family == "sd3" else 0  # the last block gives no text, so it has no such output
    assert len({one.name for one in weights}) == len(weights) == 4 * streams * small.DEEP + singles - missing
    text = backbone.encode_text(["a cat"])
    latent = torch.randn(1, backbone.latent_channels, 4, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        plain = backbone.predict_target(latent, torch.tensor([600]), text)
        generator = torch.Generator().manual_seed(3)
        for weight in weights[:4]:
            up, down = (torch.randn(size, generator=generator) for size in ((weight.shape[0], 1), (1, weight.shape[1])))
            with backbone.adapted({weight.name: low_rank(0 * up, down)}):
                assert torch.equal(backbone.predict_target(latent, torch.tensor([600]), text), plain)
            with backbone.adapted({weight.name: low_rank(up, down)}):
                assert not torch.equal(backbone.predict_target(latent, torch.tensor([600]), text), plain)


OF_METHOD = {
    "esd": "",
    "all_but_one": "",
    "doco": ", warm_up=1, drawn=1",
    "realera_lora": ", drawn=1",
}
"""Method to further settings that make it quick."""


@pytest.mark.parametrize("method", OF_METHOD)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_change_is_trained_and_the_model_stays_as_it_was(train, parts_of, sample, family, method):
    model = parts_of(family)["model"]
    before = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    plain = sample(family, model)
    given = {"method": method, "settings": QUICK + OF_METHOD[method]}
    if (method, family) == ("realera_lora", "anima"):
        with pytest.raises(ValueError, match=r"this model \(anima\) also reads token ids"):
            train(family, **given)
        return
    erased, erasure, *_ = train(family, **given)
    assert erasure.family == family.removesuffix("_dev") and float(erasure.metadata["loss_last"]) >= 0
    assert all(bool(torch.isfinite(factor.dense()).all()) for factor in erasure.factors.values())
    assert sum(bool(factor.dense().any()) for factor in erasure.factors.values()) > len(erasure.factors) / 2
    assert not torch.equal(sample(family, erased), plain)
    assert torch.equal(sample(family, model), plain)
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_its_file_does_the_same_in_the_stock_loader_and_in_ours(train, parts_of, sample, run, stock, family):
    erased, erasure, *_ = train(family)
    wanted, model = sample(family, erased), parts_of(family)["model"]
    run("SaveErasureAsLora", erasure=erasure, name=f"atelier/trained_{family}")
    given = {"lora_name": f"atelier/trained_{family}.safetensors", "strength_model": 1.0}
    loaded = stock("LoraLoaderModelOnly", model=model, **given)[0]
    torch.testing.assert_close(sample(family, loaded), wanted, rtol=1e-4, atol=1e-4)
    again = run("LoadErasure", model=model, name=f"atelier/trained_{family}")
    torch.testing.assert_close(sample(family, again[0]), wanted, rtol=1e-4, atol=1e-4)
    assert set(again[1].factors) == set(erasure.factors)


@pytest.mark.parametrize("family", ["flux", "flux2", "z_image", "qwen_image", "anima"])
def test_the_loss_is_that_of_the_velocity_and_texts_of_any_length_go_by_themselves(backbone_for, pack, family):
    """ESD's equation on what each text alone gives, which no other text's length changes."""
    esd, task_module = pack("core.erase.methods.esd"), pack("core.erase.parts.task")
    backbone = backbone_for(family)
    quick = {"steps": 1, "batch": 2, "side": 64, "sampling_steps": 2, "templates": ("a {}",), "visits": 0}
    chosen = replace(esd.METHOD.preset("small"), **quick, retain=1.0, rank=2)
    task = task_module.EraseTask(backbone, (("cat", "dog"),), (LONG,), chosen)
    with torch.inference_mode(False), torch.enable_grad():
        student = pack("core.erase.parts.training").Student(task, torch.Generator().manual_seed(3))
        visit = student.visits.visit(0)
        erase, keep = esd._losses(student, visit)

        def alone(text):
            with torch.no_grad():
                rows = [
                    backbone.predict_target(visit.latent[at : at + 1], visit.timestep[:1], backbone.encode_text([text]))
                    for at in range(2)
                ]
            return torch.cat(rows)

        target = alone("a dog") - (chosen.eta - 1) * (alone("a cat") - alone(""))
        wanted = (alone("a cat") - target).square().mean()
    torch.testing.assert_close(erase.detach(), wanted, rtol=1e-3, atol=1e-5)
    assert float(keep.detach()) < 1e-6  # the change is still zero


def test_texts_of_a_model_that_reads_one_at_a_time_are_drawn_as_if_each_was_alone(backbone_for, pack):
    """Also those of one length in the text encoder, which differ in what Anima reads beside it."""
    backbone, draw = backbone_for("anima"), pack("core.sampling").draw_each
    texts = ["cat", "dog"]
    with pytest.raises(pack("core.backbone").UnequalTextsError, match="one text for all pictures"):
        backbone.encode_text(texts)
    together = draw(backbone, texts, (8, 8), steps=2)
    alone = [draw(backbone, [text], (8, 8), steps=2, seed=[number]) for number, text in enumerate(texts)]
    assert torch.equal(together, torch.cat(alone)) and not torch.equal(*alone)


@pytest.mark.parametrize("family", ["z_image", "anima"])
def test_previews_are_drawn_of_latents_of_any_number_of_channels(backbone_for, pack, family):
    """Of texts of different length, each as if it was alone."""
    backbone, draw = backbone_for(family), pack("core.sampling").draw_each
    together = draw(backbone, ["cat", LONG], (8, 8), steps=2)
    assert together.shape == (2, 16, 8, 8) and torch.isfinite(together).all()
    assert not torch.equal(draw(backbone, ["dog", LONG], (8, 8), steps=2)[:1], together[:1])
    assert torch.equal(together[1:], draw(backbone, [LONG], (8, 8), steps=2, seed=[1]))
    reporter = pack("host.jobs.erase.erasing").ErasureReporter(backbone, ["cat", LONG], 64, 1, None)
    reporter(1, 2, 0.5, pack("core.erase.parts.task").SoFar)
    assert reporter.preview is not None


def test_changes_of_all_attention_are_refused_of_lumina_2_by_name(train, pack):
    refused = pack("host.adapters").UnsupportedModelError
    with pytest.raises(refused, match=r"trained on Lumina 2 in ComfyUI; train the weights"):
        train("lumina2", settings=f"{QUICK}, layers=all")


@pytest.mark.parametrize("family", TUNED)
def test_all_attention_is_trained_where_it_is_asked_for(train, parts_of, sample, family):
    erased, erasure, *_ = train(family, settings=f"{QUICK}, layers=all")
    assert len(erasure.factors) > 8 and all(bool(one.dense().isfinite().all()) for one in erasure.factors.values())
    assert not torch.equal(sample(family, erased), sample(family, parts_of(family)["model"]))


def test_mace_refuses_transformers(train):
    with pytest.raises(ValueError, match="keys and values of cross-attention"):
        train("flux2", method="mace_lora", settings="side=64, sampling_steps=2, batch=1")
