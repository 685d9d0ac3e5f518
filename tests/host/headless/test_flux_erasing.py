"""Erasing on the Flux transformer: the closed forms on its one text entry, undone, saved, and read again."""

import pytest
import torch

from concept_atelier.core.erase.parts.saved import load_erasure
from concept_atelier.core.erase.parts.settings import ClosedFormSettings
from concept_atelier.core.erase.registry import METHODS
from concept_atelier.core.files import save_lora
from concept_atelier.host.adapters import backbone_of, with_erasure
from concept_atelier.host.headless.flux import TEXT_ENTRY
from concept_atelier.host.headless.lora_files import read_lora
from concept_atelier.lab.model.handles import transformer_handles
from concept_atelier.lab.model.transformer import TRANSFORMER_CONFIG, build_transformer

CLOSED = [name for name, method in METHODS.items() if isinstance(method.preset("paper"), ClosedFormSettings)]
SIZES = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 12, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def parts(lab_modules):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformer = build_transformer({**TRANSFORMER_CONFIG, **SIZES, "axes_dims_rope": (4, 4, 4)})
        transformer.eval().requires_grad_(False)
        for parameter in transformer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)  # nothing is left at zero
        return transformer_handles(transformer, lab_modules)


def erased(parts, name="uce", concepts=("cat",), anchor="dog", preserve=("crab",), strength=1.0, **changes):
    method = METHODS[name]
    settings = type(method.preset("paper"))(**({"damping": 1e-3} | changes))
    return method.erase(backbone_of(*parts), list(concepts), anchor, list(preserve), settings, strength)


def predicted(model, parts, text="a cat"):
    backbone = backbone_of(model, *parts[1:])
    latent = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return backbone.predict_target(latent, torch.tensor([700]), backbone.encode_text([text]))


@pytest.mark.parametrize("name", CLOSED)
def test_every_method_changes_the_entry_and_leaving_it_out_undoes_it(parts, name):
    plain = predicted(parts[0], parts)
    erasure = erased(parts, name)
    assert list(erasure.factors) == [TEXT_ENTRY] and erasure.family == "lab_flux"
    changed = predicted(with_erasure(parts[0], erasure), parts)
    assert not torch.allclose(changed, plain, atol=1e-3)
    assert torch.equal(predicted(parts[0], parts), plain)
    assert torch.equal(predicted(with_erasure(parts[0], erased(parts, name, strength=0.0)), parts), plain)


def test_the_entry_reads_the_concept_as_its_anchor_and_the_preserved_word_as_before(parts):
    backbone = backbone_of(*parts)
    (before,) = (one.weight.double() for one in backbone.key_value_weights())
    model = with_erasure(parts[0], erased(parts))
    (after,) = (one.weight.double() for one in backbone_of(model).key_value_weights())
    with torch.no_grad():
        cat, dog, crab = (backbone.encode_text([text]).context[0, 1].double() for text in ("cat", "dog", "crab"))
    assert far(after @ cat, before @ dog) < 0.01 < far(before @ cat, before @ dog)
    assert far(after @ crab, before @ crab) < 0.01


def test_a_choice_between_keys_and_values_is_answered(parts):
    erasure = erased(parts, projections="key")
    assert "projections=key has no effect" in erasure.metadata["remarks"]
    torch.testing.assert_close(erasure.factors[TEXT_ENTRY].dense(), erased(parts).factors[TEXT_ENTRY].dense())


def test_its_file_is_a_lora_of_the_same_effect_and_an_erasure_again(parts, tmp_path):
    erasure = erased(parts, strength=0.7)
    path = tmp_path / "erased.safetensors"
    save_lora(path, erasure)
    wanted = predicted(with_erasure(parts[0], erasure), parts)
    lora = read_lora(path, parts[0].unet, "lab_flux")
    torch.testing.assert_close(predicted(parts[0].with_patch(lora.patch(1.0)), parts), wanted, rtol=1e-4, atol=1e-4)
    again = load_erasure(path, backbone_of(*parts).key_value_weights(), "lab_flux")
    torch.testing.assert_close(predicted(with_erasure(parts[0], again), parts), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="was made on another model"):
        load_erasure(path, backbone_of(with_erasure(parts[0], erased(parts, strength=4.0))).key_value_weights(), "")


def far(one, other):
    """The largest difference, relative to the largest value of the second."""
    return float((one - other).abs().max() / other.abs().max())
