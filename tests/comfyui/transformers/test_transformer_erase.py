"""Erase Concepts on diffusion transformers of ComfyUI's own classes: the text entry, undone, and as a file."""

import json

import pytest
import torch

FAMILIES = ("flux", "flux2", "flux2_dev", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")

ENTRY = {
    "flux": ["txt_in.weight", "vector_in.in_layer.weight"],
    "flux2": ["txt_in.weight"],
    "flux2_dev": ["txt_in.weight"],
    "chroma": ["txt_in.weight"],
    "z_image": ["cap_embedder.1.weight"],
    "lumina2": ["cap_embedder.1.weight"],
    "krea2": ["txtmlp.1.weight"],
    "qwen_image": ["txt_in.weight"],
    "sd3": ["context_embedder.weight", "y_embedder.mlp.0.weight"],
    "anima": [f"blocks.{block}.cross_attn.{layer}_proj.weight" for block in range(3) for layer in "kv"],
}


@pytest.fixture
def parts_of(model_of, clip_of):
    """MODEL and CLIP of a family; skips where this ComfyUI does not know it."""
    return lambda family: {"model": model_of(family), "clip": clip_of(family)}


@pytest.fixture
def erase(run):
    def go(parts, **changes):
        given = {"concepts": "cat", "anchors": "dog", "preserve": "crab", "preset": "paper", "damping": 0.001}
        return run("EraseConcepts", **parts, **(given | changes))[:2]

    return go


@pytest.fixture
def sample(sample_text):
    def go(family, parts, model=None, text="a cat"):
        return sample_text(family, model or parts["model"], parts["clip"], text)

    return go


@pytest.fixture
def read(pack):
    """What a text is where it enters: the vectors (E, D) of its last subject token, one for each block of rows."""

    def go(parts, text):
        backbone = pack("host.adapters").backbone_of(**parts)
        with torch.inference_mode():
            tokens = backbone.tokenize(text)
            last = {token.reading: token.position for token in tokens.tokens}
            return backbone.encode_beginnings([text], tokens.length)[0, list(last.values())].double()

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_bypass_is_an_exact_undo_and_strength_0_changes_nothing(
    parts_of, erase, sample, key_value_weights, family, far
):
    parts = parts_of(family)
    plain = sample(family, parts)  # which takes patches of another MODEL off the weights
    state = {name: weight.clone() for name, weight in parts["model"].model.state_dict().items()}
    erased, erasure = erase(parts)
    assert sorted(erasure.factors) == sorted(ENTRY[family]) and erasure.family == family.removesuffix("_dev")
    assert far(sample(family, parts, erased), plain) > 1e-3
    assert torch.equal(sample(family, parts, erase(parts, strength=0.0)[0]), plain)
    assert torch.equal(sample(family, parts), plain) and not parts["model"].patches
    assert all(torch.equal(weight, state[name]) for name, weight in parts["model"].model.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_entry_reads_the_concept_as_its_anchor_and_the_preserved_word_as_before(
    parts_of, erase, key_value_weights, read, family, far
):
    parts = parts_of(family)
    before, after = key_value_weights(parts["model"]), key_value_weights(erase(parts, preserve_scale=10.0)[0])
    cat, dog, crab = (read(parts, text) for text in ("cat", "dog", "crab"))
    for name in ENTRY[family]:
        if name.startswith(("vector_in", "y_embedder")):
            continue
        assert len(cat) == (2 if family == "sd3" else 1)
        for row, anchor, kept in zip(cat, dog, crab, strict=True):
            assert far(after[name] @ row, before[name] @ anchor) < 0.05 < far(before[name] @ row, before[name] @ anchor)
            assert far(after[name] @ kept, before[name] @ kept) < 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_solved_for_is_what_arrives_at_the_layer(parts_of, sample, small, pack, read, family):
    """The vectors of the concept are among those that a sampling run hands to the text entry, whatever lies before."""
    parts = parts_of(family)
    layer = ENTRY[family][0].removesuffix(".weight")
    seen = []
    module = parts["model"].model.diffusion_model.get_submodule(layer)
    handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().double()))
    try:
        sample(family, parts, text="cat")
    finally:
        handle.remove()
    rows = torch.cat([one.flatten(0, 1) for one in seen])
    for row in read(parts, "cat"):
        nearest = (rows - row).abs().amax(1).min()
        assert float(nearest) < 1e-4 * float(rows.abs().max())


@pytest.mark.parametrize(
    ("family", "name"), [("flux", "vector_in.in_layer.weight"), ("sd3", "y_embedder.mlp.0.weight")]
)
def test_pooled_text_is_edited_as_well(parts_of, erase, key_value_weights, pack, family, name, far):
    parts = parts_of(family)
    backbone = pack("host.adapters").backbone_of(**parts)
    with torch.inference_mode():
        cat, dog = (backbone.encode_pooled([text])[0].double() for text in ("cat", "dog"))
    before, after = key_value_weights(parts["model"]), key_value_weights(erase(parts, preserve="")[0])
    assert far(after[name] @ cat, before[name] @ dog) < 0.1 * far(before[name] @ cat, before[name] @ dog)


@pytest.mark.parametrize("method", ["rece", "speed", "mace", "realera"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_other_closed_forms(parts_of, erase, sample, run, family, method, far):
    parts = parts_of(family)
    plain = sample(family, parts)
    given = {"damping": 0.5, "settings": "searched=3" if method == "realera" else ""}
    given |= {"preset": "small"} if method == "mace" else {}
    if method == "speed" and family in ("flux2", "z_image"):  # their 6 directions are all held by the empty text
        with pytest.raises(ValueError, match="and the empty one leave no direction free to erase in"):
            erase(parts, method=method, **given)
        given |= {"settings": "equality_damping=1"}
    erased, erasure = erase(parts, method=method, **given)
    kept = [name for name in ENTRY[family] if "k_proj" not in name or method != "speed"]  # SPEED edits values
    assert sorted(erasure.factors) == sorted(kept)
    assert far(sample(family, parts, erased), plain) > 1e-4
    assert torch.equal(sample(family, parts), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_in_the_stock_loader_and_in_load_erasure(parts_of, erase, run, stock, sample, family, far):
    parts = parts_of(family)
    erased, erasure = erase(parts, strength=0.8)
    run("SaveErasureAsLora", erasure=erasure, name=f"atelier/{family}")
    wanted = sample(family, parts, erased)
    given = {"lora_name": f"atelier/{family}.safetensors", "strength_model": 1.0}
    loaded = stock("LoraLoaderModelOnly", model=parts["model"], **given)[0]
    assert sorted(loaded.patches) == sorted(erased.patches) and loaded.patches
    assert far(sample(family, parts, loaded), wanted) < 1e-4 < far(sample(family, parts), wanted)
    again, read_again = run("LoadErasure", model=parts["model"], name=f"atelier/{family}", strength=1.0)[:2]
    assert far(sample(family, parts, again), wanted) < 1e-4
    assert json.loads(read_again.metadata["concepts"]) == ["cat"]
    with pytest.raises(ValueError, match="was made on another model"):
        run("LoadErasure", model=erase(parts, concepts="crab", preserve="", strength=4.0)[0], **named(family))


def named(family):
    return {"name": f"atelier/{family}", "strength": 1.0}


def test_an_erasure_of_another_family_is_refused(parts_of, erase, pack):
    erasure = erase(parts_of("flux"))[1]
    with pytest.raises(ValueError, match=r"made for another model \(flux\)"):
        pack("host.adapters").with_erasure(parts_of("z_image")["model"], erasure)


@pytest.mark.parametrize("left_out", [("t5xxl",), ("clip_l", "clip_g")])
def test_a_concept_is_erased_where_text_encoders_were_not_loaded(
    parts_of, erase, sample, read, key_value_weights, monkeypatch, small, left_out, far
):
    """ComfyUI gives T5 alone a pooled text of 2048 zeros."""
    parts = parts_of("sd3")
    if "t5xxl" not in left_out:
        with torch.inference_mode():
            parts["model"] = small.build("sd3", adm_in_channels=2048)
    for name in left_out:
        monkeypatch.setitem(parts["clip"].cond_stage_model._modules, name, None)
    before, plain = key_value_weights(parts["model"]), sample("sd3", parts)
    erased, erasure = erase(parts, preserve="")
    after = key_value_weights(erased)
    (cat,), (dog,) = (read(parts, text) for text in ("cat", "dog"))
    name = "context_embedder.weight"
    assert far(after[name] @ cat, before[name] @ dog) < 0.05 < far(before[name] @ cat, before[name] @ dog)
    assert far(sample("sd3", parts, erased), plain) > 1e-3


def test_a_model_without_the_layer_by_which_text_enters_is_refused(small, pack):
    with torch.inference_mode():
        model = small.build("sd3")
        model.model.diffusion_model.context_embedder = torch.nn.Identity()
        backbone = pack("host.adapters").backbone_of(model=model)
    refused = pack("host.adapters").UnsupportedModelError
    with pytest.raises(refused, match=r"erased from this Stable Diffusion 3: it has no layer context_embedder, by"):
        backbone.key_value_weights()


@pytest.fixture
def quantised(small):
    """A small FLUX whose text entry is kept in eight bits, as newer checkpoints keep it."""

    def go(kind):
        import comfy.ops
        import comfy.quant_ops as quant

        if kind not in getattr(quant, "QUANT_ALGOS", {}):
            pytest.skip(f"this ComfyUI has no {kind}")
        with torch.inference_mode():
            parts = {"model": small.build("flux"), "clip": small.clip("flux")}
            layer = parts["model"].model.diffusion_model.txt_in
            held = quant.QuantizedTensor.from_float(
                layer.weight.detach().clone(), quant.QUANT_ALGOS[kind]["comfy_tensor_layout"]
            )
            state = {**held.state_dict("weight"), "bias": layer.bias.detach().clone()}
            state["comfy_quant"] = torch.tensor(list(json.dumps({"format": kind}).encode()), dtype=torch.uint8)
            made = comfy.ops.mixed_precision_ops({}, torch.float32, disabled={"float8_e4m3fn"}).Linear(8, 16)
            made.load_state_dict(state)
            parts["model"].model.diffusion_model.txt_in = made
        return parts

    return go


@pytest.mark.parametrize("kind", ["int8_tensorwise", "float8_e4m3fn"])
def test_weights_of_eight_bits_are_edited_through_the_patcher(
    quantised, erase, key_value_weights, read, sample, pack, kind, far
):
    parts, weight_numbers = quantised(kind), pack("host.comfy.weight_numbers").weight_numbers
    plain, before = sample("flux", parts), key_value_weights(parts["model"])["txt_in.weight"]
    assert torch.isfinite(before).all() and before.abs().max() < 5
    erased, erasure = erase(parts, preserve="")
    numbers = [weight_numbers(one) for one in (parts["model"], erased)]
    after = key_value_weights(erased)["txt_in.weight"]
    (cat,), (dog,) = (read(parts, text) for text in ("cat", "dog"))
    assert far(after @ cat, before @ dog) < 0.05 < far(before @ cat, before @ dog)
    changed = sample("flux", parts, erased)
    assert far(changed, plain) > 1e-3 and torch.equal(sample("flux", parts), plain)
    # What ComfyUI computes with is rounded to eight bits again, by less than a tenth of the largest weight.
    held = erased.model.diffusion_model.txt_in.weight if sample("flux", parts, erased) is not None else None
    assert far((held.dequantize() if hasattr(held, "dequantize") else held).double(), after) < 0.1
    assert [weight_numbers(one) for one in (parts["model"], erased)] == numbers and numbers[0] != numbers[1]


def test_the_lab_transformer_is_erased_as_by_the_headless_runner(both, pack, run, stock, far):
    """Same weights, same lists: the same change, and a file of one host in the stock loader of the other."""
    headless, parts = both
    model, clip = parts["model"], parts["clip"]
    method = pack("core.erase.registry").METHODS["uce"]
    asked = (["cat"], "dog", ["crab"], method.preset("small"))
    backbone_of = pack("host.adapters").backbone_of
    ours = method.erase(backbone_of(*headless[:2]), *asked)
    with torch.inference_mode():
        theirs = method.erase(backbone_of(model, clip), *asked)
    assert list(ours.factors) == list(theirs.factors) == ["txt_in.weight"]
    assert far(theirs.factors["txt_in.weight"].dense(), ours.factors["txt_in.weight"].dense()) < 1e-3
    run("SaveErasureAsLora", erasure=ours, name="atelier/of_headless")
    loaded = stock("LoraLoaderModelOnly", model=model, lora_name="atelier/of_headless.safetensors", strength_model=1.0)
    (weight,) = pack("host.comfy.weights").key_value_weights(loaded[0])
    (before,) = pack("host.comfy.weights").key_value_weights(model)
    assert far(weight.weight - before.weight, ours.factors["txt_in.weight"].dense()) < 1e-3


@pytest.mark.parametrize("family", ["flux", "z_image"])
def test_a_method_that_changes_text_encoders_is_refused(parts_of, erase, family):
    with pytest.raises(ValueError, match="not read by CLIP text encoders alone"):
        erase(parts_of(family), method="hirm", damping=0.5)
