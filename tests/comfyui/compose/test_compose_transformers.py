"""Compose Concepts on diffusion transformers of ComfyUI's own classes, tiny and at random weights."""

import gc
import weakref

import pytest
import torch

TRANSFORMERS = ("flux", "flux2", "chroma", "sd3", "qwen_image", "krea2", "z_image", "lumina2")
ONE_BLOCK = ("flux", "chroma", "qwen_image", "flux2", "krea2", "z_image", "lumina2")
"""Families whose small models can have one block."""

LEFT = (torch.arange(8) < 4).float().repeat(8, 1)  # a mask (8, 8)
PLACED_BY_LENGTH = ("flux2", "z_image", "lumina2")
"""Families whose rows have places that depend on how long the text is, which is longer with the texts of regions."""


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_a_transformer_draws_the_prompt_outside_the_span_and_regions_inside(
    model_of, composed, sample_transformer, small, family
):
    model = model_of(family)
    plain = sample_transformer(family, model, small.conditioning(family))
    if family not in PLACED_BY_LENGTH:
        off = sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT], start=0.999, end=1.0))
        torch.testing.assert_close(off, plain, rtol=1e-3, atol=1e-3)
    on = sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT]))
    assert not torch.allclose(on, plain, atol=1e-3) and bool(torch.isfinite(on).all())
    assert torch.equal(sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT])), on)
    assert torch.equal(sample_transformer(family, model, small.conditioning(family)), plain)


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_a_transformers_places_are_found_by_words(model_of, composed, sample_transformer, family):
    drawn = sample_transformer(family, *composed(family, model_of(family), [None, None]), steps=4)
    assert bool(torch.isfinite(drawn).all())


@pytest.mark.parametrize("family", ONE_BLOCK)
def test_the_text_of_a_region_reaches_its_region_alone(one_block, composed, sample_transformer, family):
    """In one block; behind it cells of the picture read each other."""
    model = one_block(family)
    settings = {"steps": 1, "cfg": 1.0}
    one, other = (
        sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT], texts=texts, of_prompt=0.2), **settings)
        for texts in ((3, 4), (3, 9))
    )
    half = one.shape[-1] // 2
    torch.testing.assert_close(one[..., :half], other[..., :half], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(one[..., half:], other[..., half:], atol=1e-3)


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_at_weight_0_the_node_draws_the_prompt_to_the_bit(model_of, clip_of, sample_transformer, run, stock, family):
    model, clip = model_of(family), clip_of(family)
    given = {"prompt": "a red cat and two dogs", "concepts": "a red cat\ntwo dogs", "method": "lora_composer"}
    composed_model, encoded, *_ = run(
        "ComposeConcepts", model=model, clip=clip, places="left weight=0\nright weight=0", preset="paper", **given
    )
    plain = stock("CLIPTextEncode", clip=clip, text=given["prompt"])[0]
    assert torch.equal(sample_transformer(family, composed_model, encoded), sample_transformer(family, model, plain))
    placed, text, *_ = run("ComposeConcepts", model=model, clip=clip, places="left\nright", preset="paper", **given)
    assert not torch.equal(sample_transformer(family, placed, text), sample_transformer(family, model, plain))


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_on_transformers_each_concept_is_drawn_in_a_pass_of_its_own(
    model_of, composed, sample_transformer, small, family
):
    """Layouts are aligned in the first step of three, shapes refined in the second."""
    model = model_of(family)
    settings = {"method": "concept_conductor", "refine_from": 0.2, "refine_until": 0.6}
    plain = sample_transformer(family, model, small.conditioning(family), steps=3)
    one, other = (
        sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT], texts=texts, **settings), steps=3)
        for texts in ((3, 4), (3, 9))
    )
    assert bool(torch.isfinite(one).all()) and not torch.allclose(one, other, atol=1e-4)
    assert torch.equal(sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT], **settings), steps=3), one)
    if family not in PLACED_BY_LENGTH:
        still = composed(family, model, [LEFT, 1 - LEFT], method="concept_conductor", start=0.999, end=1.0)
        torch.testing.assert_close(sample_transformer(family, *still, steps=3), plain, rtol=1e-3, atol=1e-3)
    assert torch.equal(sample_transformer(family, model, small.conditioning(family), steps=3), plain)


def test_texts_of_regions_are_refused_by_name_where_an_adapter_reads_them_together(model_of, composed):
    with pytest.raises(ValueError, match="Anima cannot keep texts to regions; that works in"):
        composed("anima", model_of("anima"), [LEFT, 1 - LEFT])


@pytest.mark.parametrize("family", [*TRANSFORMERS, "anima"])
def test_words_suppress_each_other_on_transformers(model_of, composed, sample_transformer, small, family):
    model = model_of(family)
    plain = sample_transformer(family, model, small.conditioning(family))
    still = sample_transformer(family, *composed(family, model, [None, None], method="t2i_zero", strength=0.0))
    assert torch.equal(still, plain)
    on = sample_transformer(family, *composed(family, model, [None, None], method="t2i_zero"))
    assert bool(torch.isfinite(on).all()) and not torch.allclose(on, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["attend_and_excite", "localized_refinement"])
@pytest.mark.parametrize("family", [*TRANSFORMERS, "anima"])
def test_the_latent_moves_on_transformers(model_of, composed, sample_transformer, small, family, method):
    model = model_of(family)
    plain = sample_transformer(family, model, small.conditioning(family))
    still = sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT], method=method, scale=0.0))
    assert torch.equal(still, plain)
    changed = composed(family, model, [LEFT, 1 - LEFT], method=method, scale=50.0)
    on = sample_transformer(family, *changed)
    assert bool(torch.isfinite(on).all()) and not torch.equal(on, plain)


@pytest.mark.parametrize("method", ["attend_and_excite", "concept_conductor"])
def test_passes_of_a_methods_own_have_the_guidance_that_the_text_has(
    model_of, composed, sample_transformer, monkeypatch, method
):
    model, read = model_of("flux"), []
    denoiser = model.get_model_object("diffusion_model")
    forward = type(denoiser).forward

    def watched(self, *args, **kwargs):
        guidance = args[4] if len(args) > 4 else kwargs.get("guidance")
        read.append(None if guidance is None else guidance.flatten().tolist())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(denoiser), "forward", watched)
    drawn, encoded = composed("flux", model, [LEFT, 1 - LEFT], method=method)
    text = [[context, extras | {"guidance": 2.0}] for context, extras in encoded]
    negative = [[context, extras | {"guidance": 2.0}] for context, extras in encoded[:1]]
    negative[0][0] = torch.zeros_like(negative[0][0])
    sample_transformer("flux", drawn, text, negative, steps=2)
    assert read and {value for values in read if values for value in values} == {2.0}


def test_a_finished_run_is_freed_at_once(model_of, composed, sample_transformer, pack):
    """It holds outputs of attention, which would take memory until Python looks for cycles."""
    compositions = pack("host.comfy.composing.compositions")
    drawn, encoded = composed("flux", model_of("flux"), [LEFT, 1 - LEFT], method="concept_conductor")
    kept, begin = [], compositions._Run.__post_init__

    def watched(self):
        begin(self)
        kept.append(weakref.ref(self))

    compositions._Run.__post_init__ = watched
    gc.disable()
    try:
        sample_transformer("flux", drawn, encoded)
        assert len(kept) == 1 and kept[0]() is None
    finally:
        gc.enable()
        compositions._Run.__post_init__ = begin


def test_a_model_that_composes_twice_says_so(model_of, clip_of, sample_transformer, run):
    given = {"clip": clip_of("flux"), "prompt": "a red cat and two dogs", "method": "t2i_zero"}
    model, *_ = run("ComposeConcepts", model=model_of("flux"), concepts="a red cat\ntwo dogs", **given)
    given |= {"prompt": "a cat and a dog"}
    model, text, *_ = run("ComposeConcepts", model=model, concepts="a cat\na dog", **given)
    with pytest.raises(ValueError, match="more than once, .* write all concepts into one Compose Concepts"):
        sample_transformer("flux", model, text)


@pytest.mark.parametrize("family", ["flux", "z_image"])
def test_small_modules_that_are_loaded_without_wrappers_pass_gradients(
    model_of, composed, sample_transformer, family, monkeypatch
):
    """As under dynamic memory: their weights are tensors of inference mode, which autograd does not take."""
    model, skipped = model_of(family), []
    add = type(model).add_weight_wrapper

    def adding(self, name, function):
        if "norm" in name:
            skipped.append(name.rpartition(".")[::2])
        else:
            add(self, name, function)

    given = (family, model, [LEFT, 1 - LEFT], "attend_and_excite")
    expected = sample_transformer(family, *composed(*given))
    with monkeypatch.context() as patched:
        patched.setattr(type(model), "add_weight_wrapper", adding)
        bare, encoded = composed(*given)
    modules = dict(bare.model.named_modules())
    held = {place: modules[place[0]]._parameters[place[1]] for place in skipped}
    try:
        with torch.inference_mode():
            for (module, name), weight in held.items():
                modules[module]._parameters[name] = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)
        torch.testing.assert_close(sample_transformer(family, bare, encoded), expected, rtol=1e-4, atol=1e-4)
        for module, name in held:
            assert modules[module]._parameters[name].is_inference() and not getattr(modules[module], f"{name}_function")
    finally:
        for (module, name), weight in held.items():
            modules[module]._parameters[name] = weight
    assert held
