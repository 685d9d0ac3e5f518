"""Diffusion transformers of every family under ComfyUI's own samplers: what is captured, and that nothing changes."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

SIZE = (8, 12)
FAMILIES = ("flux", "flux2", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")
JOINT = tuple(family for family in FAMILIES if family != "anima")

REFERENCES = ("flux", "flux2", "krea2", "qwen_image")
MIXED = ("z_image", "lumina2", "krea2")
"""Refine the rows of the text together before the picture joins them."""


@pytest.fixture
def capture(run):
    def go(model, **changes):
        return run("CaptureAttention", model=model, **({"least_grid": 1, "blocks": "all"} | changes))

    return go


def calls_of(backbone, conditioning, latent, steps=(600,)):
    """Every call of one pass."""
    calls = []
    with torch.no_grad(), backbone.tap_attention(calls.append):
        backbone.predict_noise(latent, torch.tensor(steps), conditioning)
    return calls


def moved_rows(keys, others):
    """Which rows of keys (B, heads, M, d) differ."""
    return (keys != others).any(-1).flatten(0, 1).any(0).nonzero().flatten().tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [SIZE, (7, 10)], ids=str)
def test_sampling_is_bit_equal_and_every_block_is_captured(model_of, sample, capture, small, family, size):
    model = model_of(family)
    captured, recorded = capture(model)
    plain, listened = sample(family, model, size=size), sample(family, captured, size=size)
    assert torch.equal(plain, listened)
    maps = recorded.maps()
    patch = 1 if family == "flux2" else 2
    grid = (-(-size[0] // patch), -(-size[1] // patch))
    blocks = small.DEEP * (2 if family in ("flux", "flux2", "chroma") else 1)
    assert list(maps.cross) == [grid] and maps.cross_counts == {grid: 2 * blocks}
    columns = 512 if family == "anima" else 7
    shares = maps.cross[grid]
    assert shares.shape == (1, columns, *grid) and recorded.runs[-1].missed == ()
    total = shares.sum(1)
    assert (total > 0).all() and (total <= 1 + 1e-5).all()
    assert torch.allclose(total, torch.ones(grid)) == (family == "anima")


@pytest.mark.parametrize("family", FAMILIES)
def test_both_views_share_one_softmax_over_all_keys_of_the_call(
    model_of, backbone_of, small, pack, family, encoded, noise
):
    backbone = backbone_of(model_of(family))
    calls = calls_of(backbone, encoded(small.conditioning(family)), noise(family))
    mean = pack("core.attention.probabilities").conditional_mean
    rest = {}
    for call in calls:
        whole = (call.query.float() @ call.key.float().transpose(-1, -2) * call.scale).softmax(-1).mean(1)
        assert torch.allclose(whole.sum(-1), torch.ones(whole.shape[:-1]))
        shares = mean(call)
        assert torch.allclose(shares, whole[..., call.columns or slice(None)], atol=1e-6)
        rest.setdefault(call.site.name, []).append((call, shares.sum(-1)))
    assert list(rest) == [site.name for site in backbone.attention_sites()]
    for pair in rest.values():
        kinds = [call.kind for call, _ in pair]
        assert kinds == (["cross", "self"] if pair[0][0].site.kind == "joint" else kinds[:1])


@pytest.fixture
def watched(model_of):
    """A MODEL whose attention calls are noted: queries, keys and values with heads apart, and what came of them."""

    def go(family):
        made = []

        def watching(attention, query, key, value, heads, *args, **kwargs):
            out = attention(query, key, value, heads, *args, **kwargs)
            apart = [one.unflatten(-1, (heads, -1)) if one.ndim == 3 else one for one in (query, key, value)]
            made.append((*(one if kwargs.get("skip_reshape") else one.transpose(1, 2) for one in apart), out))
            return out

        model = model_of(family).clone()
        model.model_options["transformer_options"] = {"optimized_attention_override": watching}
        return model, made

    return go


@pytest.mark.parametrize(("family", "seen"), [*((family, 7) for family in JOINT), ("qwen_image", 4)])
def test_maps_are_those_of_the_layers_own_attention(watched, small, pack, backbone_of, family, seen, encoded, noise):
    """Shares of all keys, times the values that the layer was given, are the picture's rows of what it gave."""
    model, made = watched(family)
    text = encoded(small.conditioning(family))
    if seen < 7:
        mask = torch.tensor([[1] * seen + [0] * (7 - seen)])
        text = pack("core.backbone").Conditioning(text.context, {**text.extras, "attention_mask": mask})
    calls = calls_of(backbone_of(model), text, noise(family))
    blocks = list(zip(calls[::2], calls[1::2], strict=True))
    made = [one for one in made if one[0].shape[2] == one[1].shape[2] == calls[0].key.shape[2]]
    mean = pack("core.attention.probabilities").conditional_mean
    assert len(blocks) == len(made) and all((call.bias is None) == (seen == 7) for call in calls)
    for (cross, own), (_, _, value, out) in zip(blocks, made, strict=True):
        logits = cross.query.float() @ cross.key.float().mT * cross.scale
        shares = (logits if cross.bias is None else logits + cross.bias).softmax(-1)  # (B, heads, cells, keys)
        given = (shares @ value.float()).transpose(1, 2).flatten(2)
        torch.testing.assert_close(given, out[:, own.columns], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean(cross), shares.mean(1)[..., cross.columns])
        assert (mean(cross).amax((0, 1)) > 1e-6).tolist() == [True] * seen + [False] * (7 - seen)


def test_maps_of_anima_are_those_of_its_layers_own_attention(watched, small, pack, backbone_of, encoded, noise):
    """Whose layers read the picture or the text, never both."""
    model, made = watched("anima")
    calls = calls_of(backbone_of(model), encoded(small.conditioning("anima")), noise("anima"))
    mean = pack("core.attention.probabilities").conditional_mean
    assert [call.kind for call in calls] == ["self", "cross"] * small.DEEP and len(calls) == len(made)
    for call, (_, _, value, out) in zip(calls, made, strict=True):
        shares = (call.query.float() @ call.key.float().mT * call.scale).softmax(-1)  # (B, heads, cells, keys)
        torch.testing.assert_close((shares @ value.float()).transpose(1, 2).flatten(2), out, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean(call), shares.mean(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_row_of_text_changes_its_own_column_of_the_first_layer_that_reads_it(
    watched, backbone_of, small, pack, family, encoded, noise
):
    """Of that layer's own inputs: keys of all other rows stay to the bit (text encoders, refiners and blocks mix rows).

    Anima's adapter mixes them before, but multiplies each row by the weight of its T5 token in the end.
    """
    plain = encoded(small.conditioning(family))
    changed = pack("core.backbone").Conditioning(plain.context.clone(), dict(plain.extras))
    if family == "anima":
        changed.extras["t5xxl_weights"] = plain.extras["t5xxl_weights"].index_fill(0, torch.tensor(3), 0.5)
    else:
        changed.context[:, 3] += 1.0
    found = []
    for text in (plain, changed):
        model, made = watched(family)
        backbone = backbone_of(model)
        call = next(call for call in calls_of(backbone, text, noise(family)) if call.kind == "cross")
        found.append((call, made))
    (one, before), (other, after) = found
    moved = moved_rows(one.key, other.key)
    if family not in MIXED:
        assert moved == [one.columns.start + 3 if one.columns else 3]
        assert torch.equal(one.query, other.query)
        return
    first = pack("host.comfy.transformers.sites").text_calls(
        pack("host.shared.families").FAMILIES[family], model.model.diffusion_model
    )[0]
    assert moved_rows(before[first][1], after[first][1]) == [3]
    assert one.columns == slice(0, 7) and int((one.key - other.key).square().sum((0, 1, 3)).argmax()) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_and_guidance_leave_the_maps_of_the_first_step_alone(model_of, sample, capture, family):
    model = model_of(family)

    def maps(batch=1, **changes):
        captured, recorded = capture(model, end_percent=0.2)
        drawn = sample(family, captured, batch=batch, **changes)
        assert torch.equal(drawn, sample(family, model, batch=batch, **changes))
        return next(iter(recorded.maps().cross.values()))

    alone, guided, two = maps(cfg=1.0), maps(cfg=4.0), maps(batch=2)
    assert len(two) == 2
    torch.testing.assert_close(alone, guided, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(two[:1], guided, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(two[:1], two[1:], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_guidance_with_texts_of_one_length_runs_in_one_call(model_of, sample, capture, small, family):
    model, negative = model_of(family), small.conditioning(family, 7, 2)
    captured, recorded = capture(model)
    assert torch.equal(
        sample(family, model, negative=negative, batch=2),
        sample(family, captured, negative=negative, batch=2),
    )
    texts = [part.maps.context for part in recorded.runs[-1].parts]
    assert len(texts) == 1 and torch.equal(texts[0], small.conditioning(family)[0][0])


@pytest.mark.parametrize("family", REFERENCES)
def test_reference_pictures_take_their_share_and_lie_behind_the_picture(model_of, sample, capture, small, family):
    model, cond = model_of(family), small.conditioning(family)
    reference = torch.randn(small.latent(family, (6, 6)).shape, generator=torch.Generator().manual_seed(3))
    with_reference = [[cond[0][0], cond[0][1] | {"reference_latents": [reference]}]]
    maps = {}
    for name, positive in (("plain", cond), ("referring", with_reference)):
        captured, recorded = capture(model, end_percent=0.2)
        drawn = sample(family, captured, positive=positive, cfg=1.0)
        assert torch.equal(drawn, sample(family, model, positive=positive, cfg=1.0))
        maps[name] = next(iter(recorded.maps().cross.values()))
        assert recorded.runs[-1].missed == ()
    assert maps["plain"].shape == maps["referring"].shape
    assert maps["referring"].sum(1).mean() < 0.95 * maps["plain"].sum(1).mean()


@pytest.mark.parametrize("family", FAMILIES)
def test_two_captures_at_once_and_one_cancelled(model_of, sample, capture, bar, every_step, family):
    """Cancelled behind the first of two steps, of which something was recorded."""
    import comfy.model_management as management

    model = model_of(family)
    first, recorded = capture(model)
    second, also_heard = capture(first, blocks="0")
    drawn = sample(family, second)
    assert torch.equal(drawn, sample(family, model))
    (grid,) = recorded.maps().cross
    assert also_heard.maps().cross_layers == {grid: 1} and recorded.maps().cross_layers[grid] > 1
    before = len(recorded.runs)
    bar.steps, bar.cancel_at = [], 1
    with pytest.raises(management.InterruptProcessingException):
        sample(family, second, seed=6)
    assert bar.steps == [(1, 2)]
    bar.cancel_at = None
    management.interrupt_current_processing(False)
    assert len(recorded.runs) == len(also_heard.runs) == before and torch.equal(drawn, sample(family, second))


def test_a_captured_model_is_freed_when_it_is_dropped(model_of, sample, capture):
    """And not when Python next looks for cycles, which ComfyUI makes it do at every load until then."""
    gc.collect()
    gc.disable()
    try:
        plain, captured = model_of("z_image").clone(), capture(model_of("z_image"))[0]
        freed = []
        for model in (plain, captured):
            sample("z_image", model)
            freed.append(weakref.ref(model))
        del plain, captured, model
        assert [one() for one in freed] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_in_force_changes_the_maps_and_stays_bit_equal(model_of, sample, capture, small, family):
    model = model_of(family)
    key = small.query_weight(model)
    patched = model.clone()
    shape = model.model.state_dict()[key].shape
    assert patched.add_patches({key: (torch.ones(shape) * 0.3,)}, 1.0)
    captured, recorded = capture(patched)
    drawn = sample(family, captured)
    assert torch.equal(drawn, sample(family, patched)) and not torch.equal(drawn, sample(family, model))
    changed = recorded.maps()
    captured, plain = capture(model)
    sample(family, captured)
    (grid,) = changed.cross
    assert not torch.allclose(changed.cross[grid], plain.maps().cross[grid], atol=1e-5)


def test_other_transformers_are_refused_by_name(comfyui, run, pack):
    import comfy.model_base

    model = comfy.model_base.HiDream.__new__(comfy.model_base.HiDream)
    patcher = SimpleNamespace(model=model, clone=None, model_options={}, get_model_object=lambda name: None)
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match=r"HiDream.*supported are.*Z-Image.*Anima"):
        pack("host.adapters").backbone_of(patcher)
