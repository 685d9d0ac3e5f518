"""Learning on the lab's transformer inside ComfyUI: every method, and changes of the model that fit both hosts."""

from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[3] / "core" / "learn" / "methods"
METHODS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


@pytest.fixture
def learn(both, run, image, masks):
    def go(**changes):
        parts = both[1]
        concepts = run("ConceptsFromMasks", **parts, image=image, masks=masks, names="red, green")[0]
        given = {"steps": 2, "preview_every": 0, "keep_every": 0, "preset": "small", "save_memory": "off"}
        given |= {"image": image, "concepts": concepts, "class_words": "red=apple, green=fish"}
        return run("LearnConceptTokens", **parts, **(given | changes))

    return go


def predicted(pack, model, clip):
    backbone = pack("host.adapters").backbone_of(model=model, clip=clip)
    latent = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return backbone.predict_target(latent, torch.tensor([600]), backbone.encode_text(["a cat"]))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_leaves_the_model_as_it_was(learn, both, pack, method):
    parts = both[1]
    before = predicted(pack, parts["model"], parts["clip"])
    tokens, _, model = learn(method=method)
    assert (
        tokens.family == "lab_flux" and torch.isfinite(tokens.losses).all() and set(tokens.vectors["red"]) == {"clip_l"}
    )
    assert (model is not parts["model"]) == bool(tokens.adapter)
    assert torch.equal(predicted(pack, parts["model"], parts["clip"]), before)


@pytest.mark.parametrize("method", ["conceptexpress", "attencraft"])
def test_less_memory_learns_the_same(learn, method):
    kept, computed_again = (learn(method=method, save_memory=choice)[0] for choice in ("off", "on"))
    torch.testing.assert_close(computed_again.losses, kept.losses, rtol=1e-3, atol=1e-4)


def test_a_change_of_the_model_is_the_same_in_both_hosts_and_in_the_stock_loader(both, pack, run, stock):
    headless, parts = both
    adapters, types = pack("host.adapters"), pack("core.types")
    backbone, native = adapters.backbone_of(*headless), adapters.backbone_of(**parts)
    with torch.inference_mode():
        weights = native.attention_weights()
    assert [(one.name, one.role, one.shape) for one in weights] == [
        (one.name, one.role, one.shape) for one in backbone.attention_weights()
    ]
    generator = torch.Generator().manual_seed(3)
    changes = {
        one.name: types.LowRank(
            torch.randn(one.shape[0], 2, generator=generator) * 0.1, torch.randn(2, one.shape[1], generator=generator)
        )
        for one in backbone.attention_weights()
    }
    tokens = types.ConceptTokens({"red": {"clip_l": torch.zeros(1, 192)}}, "lab_flux", adapter=changes)
    run("SaveAdapterAsLora", tokens=tokens, name="atelier/lab_adapter")
    given = {"lora_name": "atelier/lab_adapter.safetensors", "strength_model": 1.0}
    plain = predicted(pack, parts["model"], parts["clip"])
    wanted = predicted(pack, adapters.with_adapter(headless[0], tokens), headless[1])
    ours = predicted(pack, adapters.with_adapter(parts["model"], tokens), parts["clip"])
    theirs = predicted(pack, stock("LoraLoaderModelOnly", model=parts["model"], **given)[0], parts["clip"])
    assert not torch.allclose(plain, wanted, atol=1e-2)
    torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(theirs, wanted, rtol=1e-3, atol=1e-3)
    with torch.no_grad(), native.adapted(changes):
        latent = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(2))
        inside = native.predict_target(latent, torch.tensor([600]), native.encode_text(["a cat"]))
    torch.testing.assert_close(inside, wanted, rtol=1e-3, atol=1e-3)
    native.close()
