"""Train Erasure inside ComfyUI: what it gives is a LoRA, and the user's model stays as it was."""

import pytest
import torch

OF_TRAINING = {
    "esd": "visits=1, retain=1, surgery=1",
    "all_but_one": "visits=1, retain=1, surgery=1",
    "doco": "drawn=1, warm_up=1, batch=1, retain=1, surgery=1",
    "realera_lora": "drawn=1, retain=1, surgery=1",
    "mace_lora": "drawn=1",
}
"""Method to settings that make it quick."""


@pytest.mark.parametrize("method", OF_TRAINING)
@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_a_trained_erasure_is_a_lora_and_leaves_the_model_as_it_was(parts_of, run, sample, lora, family, method, far):
    parts = parts_of(family)
    state = parts["model"].model.state_dict()
    before = {name: weight.clone() for name, weight in state.items()}
    plain = sample(parts)
    given = {name: parts[name] for name in ("model", "clip", "vae")} | {"concepts": "cat", "preserve": "dog"}
    given |= {"method": method, "preset": "paper", "steps": 2, "learning_rate": 0.1, "preview_every": 2}
    given |= {"settings": f"side=64, sampling_steps=2, {OF_TRAINING[method]}"}
    trained, erasure, _ = run("TrainErasure", **given)
    drawn = sample(parts, trained)
    assert far(drawn, plain) > 1e-4
    assert torch.equal(sample(parts), plain) and torch.equal(
        sample(parts, run("TrainErasure", **given, strength=0.0)[0]), plain
    )
    torch.testing.assert_close(sample(parts, lora(erasure, parts["model"])), drawn, atol=1e-5, rtol=1e-5)
    assert torch.equal(sample(parts), plain)
    assert all(torch.equal(weight, before[name]) for name, weight in parts["model"].model.state_dict().items())
    assert not parts["model"].patches


@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_a_trained_text_encoder_is_a_patch_that_the_stock_loader_reads_too(parts_of, run, stock, family, far):
    """Few-shot unlearning of every text encoder; the user's stay bit-equal."""
    parts = parts_of(family)

    def encoded(clip):
        return stock("CLIPTextEncode", clip=clip, text="a cat")[0][0][0]

    state = parts["clip"].patcher.model.state_dict()
    before, plain = {name: weight.clone() for name, weight in state.items()}, encoded(parts["clip"])
    given = {name: parts[name] for name in ("model", "clip", "vae")} | {"concepts": "cat", "preserve": "dog"}
    given |= {"method": "few_shot", "preset": "paper", "steps": 2, "learning_rate": 0.01, "preview_every": 2}
    given |= {"pictures": torch.rand(2, 64, 64, 3), "settings": "side=64, batch=1, retain=1, rank=2"}
    model, erasure, clip = run("TrainErasure", **given)
    assert model is parts["model"] and set(erasure.text) == {"sdxl": {"clip_l", "clip_g"}}.get(family, {"clip_l"})
    changed = encoded(clip)
    assert far(changed, plain) > 1e-3 and torch.equal(encoded(parts["clip"]), plain)
    run("SaveErasureAsLora", erasure=erasure, name="atelier/unlearnt")
    lora = {"lora_name": "atelier/unlearnt.safetensors", "strength_model": 1.0, "strength_clip": 1.0}
    loaded = stock("LoraLoader", model=parts["model"], clip=parts["clip"], **lora)[1]
    torch.testing.assert_close(encoded(loaded), changed, atol=1e-5, rtol=1e-4)
    assert torch.equal(encoded(run("TrainErasure", **given, strength=0.0)[2]), plain)
    now = parts["clip"].patcher.model.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in before.items())


@pytest.mark.parametrize("family", ["lab", "sd15"])
def test_a_training_is_recognised_when_it_runs_again_and_on_its_own_model_alone(
    parts_of, run, sample, pack, monkeypatch, family
):
    """Whatever was loaded and drawn in between; a model whose convolutions differ is another."""
    training, seen = pack("core.erase.parts.training"), []
    really = training._identity
    monkeypatch.setattr(training, "_identity", lambda *given: seen.append(really(*given)) or seen[-1])
    parts = parts_of(family)
    given = {name: parts[name] for name in ("clip", "vae")} | {"concepts": "cat", "method": "esd", "preset": "paper"}
    given |= {"steps": 1, "preview_every": 0, "keep_every": 1, "settings": "side=64, sampling_steps=2"}
    other = parts["model"].clone()
    key = next(key for key, one in other.model.state_dict().items() if "diffusion_model." in key and one.ndim == 4)
    other.add_patches({key: ("diff", (0.1 * torch.ones_like(other.model.state_dict()[key]),))})
    for model in (parts["model"], other, parts["model"], other):
        run("TrainErasure", model=model, **given)
        sample(parts, other)
    assert seen[:2] == seen[2:] and seen[0] != seen[1]
