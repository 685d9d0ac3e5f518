"""LoRA files under all the names that programs give their entries."""

import re

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.host.headless.lora_files import read_lora
from concept_atelier.host.shared.weights.weight_patches import patched_weights
from concept_atelier.host.workflow.stock.lora import LoraLoader, LoraLoaderModelOnly

BASE = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
OLD = BASE.replace(".to_", ".processor.to_")
OUT = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONV = "down_blocks.1.resnets.0.conv1"
ORIGINAL = "input_blocks.1.1.transformer_blocks.0.attn2.to_k"
JOINED = BASE.replace(".", "_")
PAIRS = {
    "kohya": (f"lora_unet_{JOINED}", ".lora_up.weight", ".lora_down.weight"),
    "kohya, original layout": (f"lora_unet_{ORIGINAL.replace('.', '_')}", ".lora_up.weight", ".lora_down.weight"),
    "simpletuner": (f"lycoris_{JOINED}", ".lora_up.weight", ".lora_down.weight"),
    "first diffusers": (f"unet.{OLD}", "_lora.up.weight", "_lora.down.weight"),
    "first diffusers, bare": (OLD, "_lora.up.weight", "_lora.down.weight"),
    "second diffusers": (f"unet.{BASE}", ".lora.up.weight", ".lora.down.weight"),
    "transformers": (f"unet.{BASE}", ".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
    "peft": (f"unet.{BASE}", ".lora_B.weight", ".lora_A.weight"),
    "peft with an adapter's name": (f"unet.{BASE}", ".lora_B.default.weight", ".lora_A.default.weight"),
    "mochi": (f"diffusion_model.{BASE}", ".lora_B", ".lora_A"),
    "ComfyUI": (f"diffusion_model.{ORIGINAL}", ".lora_up.weight", ".lora_down.weight"),
    "prefix": (f"diffusion_model.{BASE}", ".lora_down.weight", ".lora_up.weight"),
}


def some(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def read(path, model, **tensors):
    save_tensors(path / "x.safetensors", tensors)
    return read_lora(path / "x.safetensors", model.unet, model.family)


def shape_of(model, base=BASE):
    return tuple(model.unet.get_parameter(f"{base}.weight").shape)


@pytest.mark.parametrize("style", PAIRS)
def test_every_way_of_naming_a_pair_gives_the_same_change(tmp_path, lab_model, style):
    base, up_ending, down_ending = PAIRS[style]
    rows, columns = shape_of(lab_model)
    up, down = some(rows, 4), some(4, columns, seed=1)
    if style == "prefix":
        up_ending, down_ending = down_ending, up_ending
    lora = read(
        tmp_path, lab_model, **{base + up_ending: up, base + down_ending: down, base + ".alpha": torch.tensor(2.0)}
    )
    torch.testing.assert_close(lora.factors[f"{BASE}.weight"].dense(), 0.5 * up @ down)


def test_the_out_projection_of_first_diffusers_has_no_number(tmp_path, lab_model):
    rows, columns = shape_of(lab_model, OUT)
    base = OUT.replace(".to_", ".processor.to_").removesuffix(".0")
    tensors = {f"{base}_lora.up.weight": some(rows, 2), f"{base}_lora.down.weight": some(2, columns)}
    assert set(read(tmp_path, lab_model, **tensors).factors) == {f"{OUT}.weight"}


def test_lokr_in_tuckers_form(tmp_path, lab_model):
    """ComfyUI 0.33.0 means to read it and fails over the order in memory; this is LyCORIS' own rule."""
    rows, columns, *kernel = shape_of(lab_model, CONV)
    first, core = some(4, 4), some(3, 3, *kernel, seed=1)
    a, b = some(3, rows // 4, seed=2), some(3, columns // 4, seed=3)
    parts = {"lokr_w1": first, "lokr_t2": core, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(1.5)}
    lora = read(tmp_path, lab_model, **{f"unet.{CONV}.{name}": part for name, part in parts.items()})
    second = torch.einsum("ijkl,jr,ip->prkl", core, b, a).contiguous()
    expected = 0.5 * torch.kron(first[..., None, None], second)
    torch.testing.assert_close(lora.factors[f"{CONV}.weight"].dense(), expected.flatten(1), rtol=1e-4, atol=1e-4)


def test_whole_differences_of_weights_norms_and_biases(tmp_path, lab_model):
    norm, bias = "conv_norm_out", "conv_out.bias"
    tensors = {
        f"lora_unet_{CONV.replace('.', '_')}.diff": some(*shape_of(lab_model, CONV)),
        f"lora_unet_{CONV.replace('.', '_')}.diff_b": some(shape_of(lab_model, CONV)[0]),
        f"{norm}.w_norm": some(*shape_of(lab_model, norm)),
        f"{norm}.b_norm": some(*shape_of(lab_model, norm)),
        "diffusion_model.out.2.bias.diff": some(*lab_model.unet.get_parameter(bias).shape),
    }
    patch = read(tmp_path, lab_model, **tensors).patch(-2.0)
    changed = patched_weights(lab_model.unet, [patch])
    names = (f"{CONV}.weight", f"{CONV}.bias", f"{norm}.weight", f"{norm}.bias", bias)
    for name, difference in zip(names, tensors.values(), strict=True):
        torch.testing.assert_close(changed[name], lab_model.unet.get_parameter(name) - 2 * difference)


def test_a_replaced_weight_is_that_at_any_strength(tmp_path, lab_model):
    whole = some(*shape_of(lab_model))
    lora = read(tmp_path, lab_model, **{f"unet.{BASE}.set_weight": whole})
    assert torch.equal(patched_weights(lab_model.unet, [lora.patch(0.3)])[f"{BASE}.weight"], whole)
    assert patched_weights(lab_model.unet, [lora.patch(0.0)]) == {}


@pytest.mark.parametrize("by", ["rows", "columns"])
def test_dora_goes_half_the_way_at_half_the_strength(tmp_path, lab_model, by):
    rows, columns = shape_of(lab_model)
    lengths = some(rows, 1).abs() if by == "rows" else some(1, columns).abs()
    pair = {f"unet.{BASE}.lora_up.weight": some(rows, 2), f"unet.{BASE}.lora_down.weight": some(2, columns)}
    lora = read(tmp_path, lab_model, **pair, **{f"unet.{BASE}.dora_scale": lengths})
    weight = lab_model.unet.get_parameter(f"{BASE}.weight")
    whole, half = (patched_weights(lab_model.unet, [lora.patch(s)])[f"{BASE}.weight"] for s in (1.0, 0.5))
    torch.testing.assert_close(half, (weight + whole) / 2)
    if by == "columns":
        torch.testing.assert_close(whole.norm(dim=0), lengths[0], rtol=1e-4, atol=1e-5)


KINDS = {
    "up alone": ({".lora_up.weight": (64, 2)}, "is not complete: of unet.* it holds up alone"),
    "OFT": ({".oft_blocks": (4, 16, 16)}, "uses OFT, which is not read here"),
    "GLoRA": ({".a1.weight": (2, 2), ".b1.weight": (2, 2)}, "uses GLoRA"),
    "PEFT's DoRA": ({".lora_magnitude_vector": (64,)}, "uses DoRA as PEFT writes it"),
    "size": ({".diff": (64, 64)}, r"to_k.weight is \(64, 192\), its change is \(64, 64\)"),
    "rank": ({".lora_up.weight": (64, 2), ".lora_down.weight": (3, 192)}, "which do not fit each other"),
    "lengths": (
        {".lora_up.weight": (64, 2), ".lora_down.weight": (2, 192), ".dora_scale": (64,)},
        r"its lengths are \(64,\)",
    ),
    "alpha": ({".lora_up.weight": (64, 2), ".lora_down.weight": (2, 192), ".alpha": (2,)}, r"has an alpha of \(2,\)"),
    "bias": ({".diff_b": (64,)}, "changes weights this model does not have: .*to_k.bias"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_read_is_refused_for_the_true_reason(tmp_path, lab_model, kind):
    endings, said = KINDS[kind]
    with pytest.raises(ValueError, match=rf"^x\.safetensors .*{said}"):
        read(tmp_path, lab_model, **{f"unet.{BASE}{ending}": some(*shape) for ending, shape in endings.items()})


def test_other_models_broken_values_and_empty_files_are_refused(tmp_path, lab_model):
    with pytest.raises(ValueError, match=r"does not fit this lab model: 1 of its entries name no weight .*elsewhere"):
        read(tmp_path, lab_model, **{"lora_unet_elsewhere.lora_up.weight": torch.ones(2, 1)})
    with pytest.raises(ValueError, match="not finite"):
        read(tmp_path, lab_model, **{f"unet.{BASE}.diff": torch.full(shape_of(lab_model), torch.nan)})
    with pytest.raises(ValueError, match="holds no tensors, so there is nothing to apply"):
        read(tmp_path, lab_model)
    rows, columns = shape_of(lab_model)
    rankless = {
        f"unet.{BASE}.lora_up.weight": torch.ones(rows, 0),
        f"unet.{BASE}.lora_down.weight": torch.ones(0, columns),
    }
    with pytest.raises(ValueError, match="holds tensors without numbers, for instance"):
        read(tmp_path, lab_model, **rankless)
    with pytest.raises(ValueError, match="only embeddings"):
        read(tmp_path, lab_model, **{"bundle_emb.cat.string_to_param.*": some(1, 192)})


def test_names_with_either_slash_lead_to_the_file(here, lab_model):
    save_tensors(here.model_target("loras", "sub/x"), {f"unet.{BASE}.diff": some(*shape_of(lab_model))})
    for name in ("sub/x.safetensors", "sub\\x.safetensors"):
        assert LoraLoaderModelOnly.validate_inputs(name) is True
        given = {"model": lab_model, "lora_name": name, "strength_model": 1.0}
        assert LoraLoaderModelOnly.execute(**given)[0].patches


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.safetensors", "no file in loras named 'gone.safetensors'.*; there are x.safetensors"),
        ("old.pt", "'old.pt' is a pickled file"),
        ("../x.safetensors", "would leave its folder"),
    ],
)
def test_loras_that_are_not_there_or_pickled(here, name, said):
    save_tensors(here.model_target("loras", "x"), {"a": torch.ones(1)})
    for node in (LoraLoader, LoraLoaderModelOnly):
        verdict = node.validate_inputs(name)
        assert isinstance(verdict, str) and re.search(said, verdict)


def test_what_a_file_brings_besides_is_reported(here, lab_model, lab_clip):
    change = {f"unet.{BASE}.diff": some(*shape_of(lab_model))}
    save_tensors(here.model_target("loras", "x"), change | {"bundle_emb.cat.string_to_param.*": some(1, 192)})
    save_tensors(here.model_target("loras", "text"), {"lora_te_x.lora_up.weight": torch.ones(2, 1)})
    (text,) = LoraLoaderModelOnly.execute(lab_model, "x.safetensors", 1.0).ui.as_dict()["text"]
    assert "also brings embeddings (cat)" in text
    output = LoraLoader.execute(lab_model, lab_clip, "text.safetensors", 1.0, 0.0)
    assert "the model is as it was" in output.ui.as_dict()["text"][0]
