"""Compose Concepts on ComfyUI's own samplers, with small random-weight models."""

import importlib

import pytest
import torch

METHODS = (
    "lora_composer",
    "attention_couple",
    "t2i_zero",
    "attend_and_excite",
    "localized_refinement",
    "concept_conductor",
)
FAMILIES = ("lab", "sd15", "sd2", "sdxl")
PLAIN = {
    "prompt": "a cat and a rocket",
    "concepts": "a cat\na rocket",
    "places": "left\nright",
    "method": "lora_composer",
}


@pytest.fixture
def encode(stock):
    return lambda parts, text: stock("CLIPTextEncode", clip=parts["clip"], text=text)[0]


@pytest.fixture
def sample(stock, encode):
    def go(parts, model, positive, **changes):
        settings = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        given = {
            "positive": positive,
            "negative": encode(parts, ""),
            "latent_image": {"samples": torch.zeros(2, 4, 8, 12)},
        }
        return stock("KSampler", model=model, **(given | settings | changes))[0]["samples"]

    return go


@pytest.fixture
def compose(run):
    def go(parts, **changes):
        given = {"model": parts["model"], "clip": parts["clip"], "preset": "small"} | PLAIN
        return run("ComposeConcepts", **(given | changes))

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_any_sampler_draws_the_composition_and_the_model_stays_as_it_was(parts_of, compose, sample, encode, family):
    parts = parts_of(family)
    plain = sample(parts, parts["model"], encode(parts, PLAIN["prompt"]))
    model, conditioning, *_ = compose(parts)
    first = sample(parts, model, conditioning)
    assert bool(torch.isfinite(first).all()) and not torch.allclose(first, plain, atol=1e-4)
    assert torch.equal(sample(parts, model, conditioning), first)
    assert torch.equal(sample(parts, parts["model"], encode(parts, PLAIN["prompt"])), plain)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_outside_its_span_the_prompt_is_drawn(parts_of, compose, sample, encode, method, cfg):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts, method=method, settings="start=0.4, end=0.41")
    plain = sample(parts, parts["model"], encode(parts, PLAIN["prompt"]), cfg=cfg)
    torch.testing.assert_close(sample(parts, model, conditioning, cfg=cfg), plain, rtol=1e-3, atol=1e-3)


@pytest.fixture
def lora(pack, comfy_base):
    """Writes a LoRA file of a rank that changes every projection of every attention layer; gives its name."""

    def go(parts, family, rank):
        types, draw = pack("core.types"), torch.Generator().manual_seed(rank)
        factors = {
            one.name: types.LowRank(
                torch.randn(one.shape[0], rank, generator=draw), torch.randn(rank, one.shape[1], generator=draw) / 9
            )
            for one in pack("host.comfy.weights").attention_weights(parts["model"])
        }
        tokens = types.ConceptTokens({"it": {}}, family, adapter=factors)
        name = f"own_{family}_{rank}"
        pack("core.files").save_adapter(comfy_base / f"models/loras/{name}.safetensors", tokens)
        return name

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_each_concept_has_its_own_lora(parts_of, compose, sample, encode, lora, family):
    parts = parts_of(family)
    names = [lora(parts, family, rank) for rank in (2, 5)]
    plain = sample(parts, parts["model"], encode(parts, PLAIN["prompt"]))
    without, one, both = (
        sample(parts, *compose(parts, loras=loras)[:2]) for loras in ("", f"{names[0]}, none", ", ".join(names))
    )
    assert not torch.allclose(without, one, atol=1e-4) and not torch.allclose(one, both, atol=1e-4)
    assert torch.equal(sample(parts, parts["model"], encode(parts, PLAIN["prompt"])), plain)
    nowhere = compose(parts, loras=", ".join(names), places="left weight=0\nright weight=0")
    assert torch.equal(sample(parts, *nowhere[:2]), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_in_a_region_of_the_whole_picture_is_that_of_the_stock_loader(
    parts_of, compose, sample, encode, stock, lora, family
):
    """All projections of all attention layers, with and without the positive text."""
    parts = parts_of(family)
    name = lora(parts, family, 3)
    (stocks,) = stock("LoraLoaderModelOnly", model=parts["model"], lora_name=f"{name}.safetensors", strength_model=0.05)
    theirs = sample(parts, stocks, encode(parts, "a cat"))
    given = {"prompt": "a cat", "concepts": "a cat", "places": "everywhere", "preset": "paper"}
    quiet = "guidance=0, renew=false"
    ours = sample(parts, *compose(parts, loras=f"{name} strength=0.05", settings=quiet, **given)[:2])
    without = sample(parts, *compose(parts, settings=quiet, **given)[:2])
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=2e-3)
    assert float((without - theirs).abs().max()) > 0.02


@pytest.fixture
def whole_file(pack, comfy_base):
    """Writes a LoRA file of layers of a MODEL, by the names of ComfyUI's own table; gives its name and the layers."""

    def go(model, name, wanted=lambda layer: True, scale=1.0):
        layers = pack("host.adapters").layers_of(model)
        own = {layer.name: (base, layer) for base, layer in layers.items() if layer.placed and wanted(layer)}
        draw, tensors = torch.Generator().manual_seed(3), {}
        for base, layer in own.values():
            rows, columns = layer.size
            up = torch.randn(rows, 2, *[1] * (len(layer.shape) - 2), generator=draw)
            down = torch.randn(2, *layer.shape[1:], generator=draw)
            tensors |= {f"{base}.lora_up.weight": up, f"{base}.lora_down.weight": down * scale / columns**0.5}
        pack("core.files").save_tensors(comfy_base / f"models/loras/{name}.safetensors", tensors)
        return name, [layer for _, layer in own.values()]

    return go


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_all_layers_of_a_file_in_a_region_of_the_whole_picture_are_those_of_the_stock_loader(
    parts_of, compose, sample, encode, stock, whole_file, family
):
    """Feed-forward layers, convolutions and projections beside attention."""
    parts = parts_of(family)
    name, layers = whole_file(parts["model"], f"all_{family}")
    assert {len(layer.shape) for layer in layers} == {2, 4}
    (stocks,) = stock("LoraLoaderModelOnly", model=parts["model"], lora_name=f"{name}.safetensors", strength_model=0.05)
    theirs = sample(parts, stocks, encode(parts, "a cat"))
    given = {"prompt": "a cat", "concepts": "a cat", "places": "everywhere", "preset": "paper"}
    quiet = "guidance=0, renew=false"
    ours = sample(parts, *compose(parts, loras=f"{name} strength=0.05", settings=quiet, **given)[:2])
    without = sample(parts, *compose(parts, settings=quiet, **given)[:2])
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=5e-3)
    assert float((without - theirs).abs().max()) > 0.02
    assert torch.equal(sample(parts, *compose(parts, settings=quiet, **given)[:2]), without)


@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_a_regions_text_is_encoded_as_the_stock_loader_has_it(
    parts_of, compose, encode, stock, pack, comfy_base, family
):
    parts = parts_of(family)
    weights = [one for one in pack("host.comfy.text.weights").text_weights(parts["clip"]) if one.weight.ndim == 2]
    encoders, tensors = list(dict.fromkeys(one.encoder for one in weights)), {}
    draw = torch.Generator().manual_seed(4)
    for one in weights:
        number = encoders.index(one.encoder) + 1 if len(encoders) > 1 else ""
        base = f"lora_te{number}_text_model_{one.name.removesuffix('.weight').replace('.', '_')}"
        tensors[f"{base}.lora_up.weight"] = torch.randn(one.weight.shape[0], 2, generator=draw) / 4
        tensors[f"{base}.lora_down.weight"] = torch.randn(2, one.weight.shape[1], generator=draw) / 4
    pack("core.files").save_tensors(comfy_base / f"models/loras/text_{family}.safetensors", tensors)
    given = {"lora_name": f"text_{family}.safetensors", "strength_model": 1.0, "strength_clip": 0.5}
    _, clip = stock("LoraLoader", model=parts["model"], clip=parts["clip"], **given)
    theirs = encode({"clip": clip}, "a cat")[0][0]
    _, conditioning, *_ = compose(parts, loras=f"text_{family} strength=0.5, none")
    length = conditioning[0][0].shape[1] // 3
    torch.testing.assert_close(conditioning[0][0][:, length : 2 * length], theirs, rtol=1e-3, atol=1e-3)
    plain = encode(parts, "a cat")[0][0]
    assert not torch.allclose(plain, theirs, atol=1e-2)


MOVING = {
    "attend_and_excite": "",
    "localized_refinement": "",
    "lora_composer": "guidance=20, renew=true",
    "concept_conductor": "",
}


@pytest.mark.parametrize("method", MOVING)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_latent_moves_by_gradients_in_inference_mode(parts_of, compose, sample, encode, family, method):
    """As a workflow runs: nodes are executed in inference mode."""
    parts = parts_of(family)
    with torch.inference_mode():
        plain = sample(parts, parts["model"], encode(parts, PLAIN["prompt"]))
        model, conditioning, *_ = compose(parts, method=method, settings=MOVING[method])
        still = {"lora_composer": "guidance=0", "concept_conductor": "layout=0"}.get(method, "scale=0")
        held, *_ = compose(parts, method=method, settings=still)
        first = sample(parts, model, conditioning)
        assert bool(torch.isfinite(first).all())
        assert not torch.equal(first, sample(parts, held, conditioning))
        assert torch.equal(sample(parts, model, conditioning), first)
        assert torch.equal(sample(parts, parts["model"], encode(parts, PLAIN["prompt"])), plain)


@pytest.mark.parametrize("method", ["attend_and_excite", "localized_refinement", "t2i_zero"])
def test_a_method_of_the_prompts_words_that_does_nothing_leaves_every_bit(parts_of, compose, sample, encode, method):
    parts = parts_of("sd15")
    plain = sample(parts, parts["model"], encode(parts, PLAIN["prompt"]))
    still = "strength=0" if method == "t2i_zero" else "scale=0"
    model, conditioning, *_ = compose(parts, method=method, settings=still)
    assert torch.equal(sample(parts, model, conditioning), plain)
    model, conditioning, *_ = compose(parts, method=method, places="left weight=0\nright weight=0")
    assert torch.equal(sample(parts, model, conditioning), plain)


def test_a_method_that_moves_the_latent_refuses_a_noise_mask(parts_of, compose, sample):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts, method="attend_and_excite")
    latent = {"samples": torch.zeros(2, 4, 8, 12), "noise_mask": torch.ones(1, 64, 96)}
    with pytest.raises(ValueError, match="moves the latent"):
        sample(parts, model, conditioning, latent_image=latent)


def test_places_are_found_by_words(parts_of, compose, sample):
    parts = parts_of("lab")
    model, conditioning, *_ = compose(parts, places="")
    first = sample(parts, model, conditioning, steps=4)
    assert torch.equal(sample(parts, model, conditioning, steps=4), first)


def test_it_draws_the_same_as_the_headless_sampler(parts_of, compose, sample, encode, pack):
    """The lab model's UNet is diffusers' there and ComfyUI's here."""
    parts = parts_of("lab")
    model, conditioning, *_ = compose(parts)
    here = sample(parts, model, conditioning, steps=3)
    handles = pack("lab.model.handles").load_handles()
    composing = pack("host.jobs.compose.composing")
    composition = composing.composition_of(
        handles[1], PLAIN["prompt"], ["a cat", "a rocket"], ["left", "right"], None, {}
    )
    composer = pack("core.compose.registry").METHODS["lora_composer"]
    composed = pack("host.shared.compositions").Composed(composition, composer, composer.preset("small"))
    text = pack("host.shared.conditioning").to_comfy
    empty = text(pack("host.adapters").DiffusersBackbone(clip=handles[1]).encode_text([""]))
    there = pack("host.headless.sampling").sample(
        handles[0].with_composition(composed),
        text(composition.conditioning),
        empty,
        {"samples": torch.zeros(2, 4, 8, 12)},
        seed=5,
        steps=3,
        cfg=3.0,
    )["samples"]
    torch.testing.assert_close(here, there, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_each_concept_is_drawn_in_a_pass_of_its_own(parts_of, compose, sample, family):
    """Shapes are refined in the second step of three; a reference leads the layout of the first."""
    parts, settings = parts_of(family), "refine_from=0.2, refine_until=0.6"
    given = {"method": "concept_conductor", "settings": settings}
    reference = {"samples": torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(1))}
    free, text, *_ = compose(parts, **given)
    led, *_ = compose(parts, **given, reference=reference)
    one, other = (sample(parts, model, text, steps=3) for model in (free, led))
    assert bool(torch.isfinite(one).all()) and not torch.equal(one, other)
    assert torch.equal(sample(parts, led, text, steps=3), other)


def test_another_conditioning_is_refused(parts_of, compose, sample, encode):
    parts = parts_of("sd15")
    model, *_ = compose(parts)
    with pytest.raises(ValueError, match="another positive CONDITIONING"):
        sample(parts, model, encode(parts, "a dog"))


def test_areas_are_refused(parts_of, compose, sample, stock):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts)
    area = stock("ConditioningSetArea", conditioning=conditioning, width=64, height=64, x=0, y=0, strength=1.0)[0]
    with pytest.raises(ValueError, match="areas or tiles"):
        sample(parts, model, area)


def test_capture_and_composition_go_together(parts_of, compose, sample, run):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts)
    plain = sample(parts, model, conditioning)
    captured, recorded_maps = run("CaptureAttention", model=model, least_grid=1, stages="all")
    assert torch.equal(sample(parts, captured, conditioning), plain)
    assert recorded_maps.maps().cross


@pytest.fixture
def composed(pack, small):
    """A composition of random texts for a transformer, and MODEL and CONDITIONING of it."""

    def go(family, model, masks, method="attention_couple", texts=(3, 4), layers=None, **settings):
        compose_module, registry = pack("core.compose.composition"), pack("core.compose.registry")
        base = small.conditioning(family)
        composer = registry.METHODS[method]
        divides = {"texts", "branches"} & set(composer.needs)
        parts = [small.conditioning(family, 5, seed)[0][0] for seed in texts] if divides else []
        context = torch.cat([base[0][0], *parts], dim=1)
        regions = tuple(
            compose_module.Region(
                f"{n}",
                slice(7 + 5 * n, 12 + 5 * n),
                (n + 1,),
                mask,
                subject=(n + 1,),
                layers=(layers or {}) if not n else {},
            )
            for n, mask in enumerate(masks)
        )
        extras = {name: value for name, value in base[0][1].items() if value is not None}
        conditioning = pack("core.backbone").Conditioning(context, extras)
        composition = compose_module.Composition(conditioning, slice(0, 7), regions)
        chosen = type(composer.preset("paper"))(**settings)
        value = pack("host.shared.compositions").Composed(composition, composer, chosen)
        return pack("host.adapters").with_composition(model, value), [[context, base[0][1]]]

    return go


@pytest.fixture
def draw(stock, small):
    def go(family, model, positive, **changes):
        settings = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        return stock(
            "KSampler",
            model=model,
            positive=positive,
            negative=small.conditioning(family, 5, 2),
            latent_image={"samples": small.latent(family, (8, 12), 2)},
            **(settings | changes),
        )[0]["samples"]

    return go


TRANSFORMERS = ("flux", "flux2", "chroma", "sd3", "qwen_image", "krea2", "z_image", "lumina2")
PLACED_BY_LENGTH = ("flux2", "z_image", "lumina2")
"""Families whose rows have places that depend on how long the text is, which is longer with the texts of regions."""
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_a_transformer_draws_the_prompt_outside_the_span_and_regions_inside(model_of, composed, draw, small, family):
    model = model_of(family)
    plain = draw(family, model, small.conditioning(family))
    if family not in PLACED_BY_LENGTH:
        off = draw(family, *composed(family, model, [LEFT, 1 - LEFT], start=0.999, end=1.0))
        torch.testing.assert_close(off, plain, rtol=1e-3, atol=1e-3)
    on = draw(family, *composed(family, model, [LEFT, 1 - LEFT]))
    assert not torch.allclose(on, plain, atol=1e-3) and bool(torch.isfinite(on).all())
    assert torch.equal(draw(family, *composed(family, model, [LEFT, 1 - LEFT])), on)
    assert torch.equal(draw(family, model, small.conditioning(family)), plain)


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_a_transformers_places_are_found_by_words(model_of, composed, draw, family):
    drawn = draw(family, *composed(family, model_of(family), [None, None]), steps=4)
    assert bool(torch.isfinite(drawn).all())


ONE_BLOCK = {
    "flux": {"depth": 1, "depth_single_blocks": 0},
    "chroma": {"depth": 1, "depth_single_blocks": 0},
    "qwen_image": {"num_layers": 1},
    "flux2": {"depth": 1, "depth_single_blocks": 0},
    "krea2": {"layers": 1},
    "z_image": {"n_layers": 1},
    "lumina2": {"n_layers": 1},
}
"""Models of one block."""


@pytest.mark.parametrize("family", list(ONE_BLOCK))
def test_the_text_of_a_region_reaches_its_region_alone(small, composed, draw, family):
    """In one block; behind it cells of the picture read each other."""
    if not small.here(family):
        pytest.skip(f"this ComfyUI has no {family}")
    with torch.inference_mode():
        model = small.build(family, **ONE_BLOCK[family])
    settings = {"steps": 1, "cfg": 1.0}
    one, other = (
        draw(family, *composed(family, model, [LEFT, 1 - LEFT], texts=texts, of_prompt=0.2), **settings)
        for texts in ((3, 4), (3, 9))
    )
    half = one.shape[-1] // 2
    torch.testing.assert_close(one[..., :half], other[..., :half], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(one[..., half:], other[..., half:], atol=1e-3)


@pytest.fixture
def changes_of(pack):
    """A random change of layers of a transformer, by name."""

    def go(model, wanted, scale=0.5):
        layers, types = pack("host.adapters").layers_of(model), pack("core.types")
        draw, found = torch.Generator().manual_seed(3), {}
        for layer in {one.name: one for one in layers.values() if one.placed and wanted(one)}.values():
            rows, columns = layer.shape
            up, down = torch.randn(rows, 2, generator=draw), torch.randn(2, columns, generator=draw)
            found[layer.name] = types.LowRank(up, down * scale / columns**0.5)
        return found

    return go


BEHIND = ("img_mlp", "feed_forward", "mlp", "ff")
"""What the layers behind the attention of a block are called."""


@pytest.mark.parametrize("family", list(ONE_BLOCK))
def test_on_transformers_a_lora_reaches_its_region_alone(small, composed, draw, changes_of, family):
    """Behind the attention of the one block; what attention reads of each other would show everywhere."""
    if not small.here(family):
        pytest.skip(f"this ComfyUI has no {family}")
    with torch.inference_mode():
        model = small.build(family, **ONE_BLOCK[family])
    blocks = ("layers.0", "blocks.0", "double_blocks.0", "transformer_blocks.0")
    within = lambda layer: layer.name.startswith(blocks) and any(part in layer.name for part in BEHIND)  # noqa: E731
    changes = changes_of(model, within)
    assert changes
    settings = {"steps": 1, "cfg": 1.0}
    one, other = (
        draw(family, *composed(family, model, [LEFT, 1 - LEFT], layers=layers), **settings)
        for layers in (None, changes)
    )
    half = one.shape[-1] // 2
    assert torch.equal(one[..., half:], other[..., half:])
    assert not torch.allclose(one[..., :half], other[..., :half], atol=1e-3)
    assert torch.equal(draw(family, *composed(family, model, [LEFT, 1 - LEFT]), **settings), one)


@pytest.mark.parametrize("family", ["flux", "chroma"])
def test_on_transformers_a_region_of_the_whole_picture_is_the_stock_loaders(
    model_of, clip_of, composed, draw, small, stock, whole_file, pack, family
):
    """In all blocks, of text and picture; the region's text alone is read, as if it were the prompt."""
    model = model_of(family)
    name, _ = whole_file(model, f"all_{family}", lambda layer: "blocks" in layer.name, scale=0.3)
    (stocks,) = stock("LoraLoaderModelOnly", model=model, lora_name=f"{name}.safetensors", strength_model=1.0)
    text = small.conditioning(family, 5, 3)
    settings = {"cfg": 1.0}
    theirs, plain = (draw(family, one, text, **settings) for one in (stocks, model))
    layers = pack("host.adapters").layers_of(model)
    tensors = pack("core.files").load_tensors(
        pack("host.files.folders").current().find_model("loras", f"{name}.safetensors")
    )[0]
    backbone = pack("host.adapters").backbone_of(model, clip_of(family))
    adapter = pack("core.compose.parts.adapters").read_adapter(backbone, tensors, 1.0, name, layers)
    own = composed(family, model, [torch.ones(8, 8)], texts=(3,), layers=adapter.layers, of_prompt=0.0, isolation=0.0)
    ours = draw(family, own[0], [[own[1][0][0], text[0][1]]], **settings)  # with the pooled text of its own
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)
    assert float((theirs - plain).abs().max()) > 0.05


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_at_weight_0_the_node_draws_the_prompt_to_the_bit(model_of, clip_of, draw, run, stock, family):
    model, clip = model_of(family), clip_of(family)
    given = {"prompt": "a red cat and two dogs", "concepts": "a red cat\ntwo dogs", "method": "lora_composer"}
    composed_model, encoded, *_ = run(
        "ComposeConcepts", model=model, clip=clip, places="left weight=0\nright weight=0", preset="paper", **given
    )
    plain = stock("CLIPTextEncode", clip=clip, text=given["prompt"])[0]
    assert torch.equal(draw(family, composed_model, encoded), draw(family, model, plain))
    placed, text, *_ = run("ComposeConcepts", model=model, clip=clip, places="left\nright", preset="paper", **given)
    assert not torch.equal(draw(family, placed, text), draw(family, model, plain))


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_on_transformers_each_concept_is_drawn_in_a_pass_of_its_own(model_of, composed, draw, small, family):
    """Layouts are aligned in the first step of three, shapes refined in the second."""
    model = model_of(family)
    settings = {"method": "concept_conductor", "refine_from": 0.2, "refine_until": 0.6}
    plain = draw(family, model, small.conditioning(family), steps=3)
    one, other = (
        draw(family, *composed(family, model, [LEFT, 1 - LEFT], texts=texts, **settings), steps=3)
        for texts in ((3, 4), (3, 9))
    )
    assert bool(torch.isfinite(one).all()) and not torch.allclose(one, other, atol=1e-4)
    assert torch.equal(draw(family, *composed(family, model, [LEFT, 1 - LEFT], **settings), steps=3), one)
    if family not in PLACED_BY_LENGTH:
        still = composed(family, model, [LEFT, 1 - LEFT], method="concept_conductor", start=0.999, end=1.0)
        torch.testing.assert_close(draw(family, *still, steps=3), plain, rtol=1e-3, atol=1e-3)
    assert torch.equal(draw(family, model, small.conditioning(family), steps=3), plain)


def test_texts_of_regions_are_refused_by_name_where_an_adapter_reads_them_together(model_of, composed):
    with pytest.raises(ValueError, match="Anima cannot keep texts to regions; that works in"):
        composed("anima", model_of("anima"), [LEFT, 1 - LEFT])


@pytest.mark.parametrize("family", [*TRANSFORMERS, "anima"])
def test_words_suppress_each_other_on_transformers(model_of, composed, draw, small, family):
    model = model_of(family)
    plain = draw(family, model, small.conditioning(family))
    still = draw(family, *composed(family, model, [None, None], method="t2i_zero", strength=0.0))
    assert torch.equal(still, plain)
    on = draw(family, *composed(family, model, [None, None], method="t2i_zero"))
    assert bool(torch.isfinite(on).all()) and not torch.allclose(on, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["attend_and_excite", "localized_refinement"])
@pytest.mark.parametrize("family", [*TRANSFORMERS, "anima"])
def test_the_latent_moves_on_transformers(model_of, composed, draw, small, family, method):
    model = model_of(family)
    plain = draw(family, model, small.conditioning(family))
    still = draw(family, *composed(family, model, [LEFT, 1 - LEFT], method=method, scale=0.0))
    assert torch.equal(still, plain)
    changed = composed(family, model, [LEFT, 1 - LEFT], method=method, scale=50.0)
    if family == "anima" and small.anima_has_no_gradient():
        with pytest.raises(ValueError, match="gradient"):
            draw(family, *changed)
        return
    on = draw(family, *changed)
    assert bool(torch.isfinite(on).all()) and not torch.equal(on, plain)


def test_boxes_go_to_and_fro_between_compose_concepts_and_stock_nodes(parts_of, compose, comfyui):
    images = importlib.import_module("comfy_extras.nodes_images")
    parts, size = parts_of("lab"), {"width": 128, "height": 64}
    (one,) = images.BoundingBox.execute(x=32, y=16, width=64, height=32).args
    given = {"concepts": "a cat", "places": "", "method": "attention_couple"}
    *_, regions, boxes = compose(parts, bounding_boxes=one, **size, **given)
    assert float(regions[0, 16:48, 16:48].min()) == 1 and float(regions.sum()) == 32 * 32
    assert [{side: box[side] for side in one} for box in boxes[0]] == [one]
    try:
        drawing = importlib.import_module("comfy_extras.nodes_bounding_boxes")
    except ImportError:  # before ComfyUI 0.33
        return
    _, drawn, elements = drawing.CreateBoundingBoxes.execute(bboxes=boxes, **size).args
    assert elements == [{"type": "obj", "bbox": [250, 250, 750, 750], "desc": "a cat"}]
    assert torch.equal(compose(parts, bounding_boxes=drawn, **size, **given)[2], regions)
