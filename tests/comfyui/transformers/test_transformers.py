"""Diffusion transformers of every family under ComfyUI's own samplers: what is captured, and that nothing changes."""

from types import SimpleNamespace

import pytest
import torch

SIZE = (8, 12)
FAMILIES = ("flux", "flux2", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")
JOINT = tuple(family for family in FAMILIES if family != "anima")

REFERENCES = ("flux", "flux2", "krea2", "qwen_image")


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


@pytest.mark.parametrize("family", JOINT)
def test_maps_are_those_of_the_layers_own_attention(
    model_of, small, pack, backbone_of, monkeypatch, family, encoded, noise
):
    """The attention that a block computes, taken from its own queries and keys, whole."""
    made = []

    def watching(attention, query, key, value, heads, *args, **kwargs):
        out = attention(query, key, value, heads, *args, **kwargs)
        apart = [
            one if kwargs.get("skip_reshape") else one.unflatten(-1, (heads, -1)).transpose(1, 2)
            for one in (query, key)
        ]
        made.append((apart[0], apart[1], value, out))
        return out

    model = model_of(family).clone()
    model.model_options["transformer_options"] = {"optimized_attention_override": watching}
    backbone = backbone_of(model)
    calls = calls_of(backbone, encoded(small.conditioning(family)), noise(family))
    first = next(call for call in calls if call.view == "cross")
    query, key, _, _ = next(
        one for one in made if one[0].shape == one[1].shape and one[1].shape[2] == first.key.shape[2]
    )
    assert (
        torch.equal(first.key, key)
        and torch.equal(first.query, query[:, :, -first.query.shape[2] :])
        or family == "z_image"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_row_of_text_changes_its_own_column_of_the_first_block(
    model_of, backbone_of, small, pack, family, encoded, noise
):
    """Of the block's own inputs: keys of all other rows stay to the bit (text encoders and refiners mix rows)."""
    backbone = backbone_of(model_of(family))
    plain = encoded(small.conditioning(family))
    changed = pack("core.backbone").Conditioning(plain.context.clone(), plain.extras)
    changed.context[:, 3] += 1.0
    latent = noise(family)
    one, other = (
        next(call for call in calls_of(backbone, text, latent) if call.kind == "cross") for text in (plain, changed)
    )
    apart = (one.key != other.key).flatten(0, 1).any(-1).any(0)
    moved = apart.nonzero().flatten().tolist()
    if family in ("flux", "flux2", "chroma", "qwen_image", "sd3"):
        assert moved == [one.columns.start + 3]
        assert torch.equal(one.query, other.query)
    else:
        assert moved and max(moved) < {"z_image": 32, "anima": 512}.get(family, 7)


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
def test_two_captures_at_once_and_one_cancelled(model_of, sample, capture, comfyui, family):
    import comfy.model_management as management

    model = model_of(family)
    first, recorded = capture(model)
    second, also_heard = capture(first, blocks="0")
    drawn = sample(family, second)
    assert torch.equal(drawn, sample(family, model))
    (grid,) = recorded.maps().cross
    assert also_heard.maps().cross_layers == {grid: 1} and recorded.maps().cross_layers[grid] > 1
    before = len(recorded.runs)
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        sample(family, second, seed=6)
    management.interrupt_current_processing(False)
    assert len(recorded.runs) == before and torch.equal(drawn, sample(family, second))


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


@pytest.mark.parametrize("family", FAMILIES)
def test_an_attention_that_a_checkpoint_asks_for_stays_in_force(model_of, pack, monkeypatch, family):
    """The newest ComfyUI leaves it out where an override is set. Modules that carry one are asked, block by block."""
    sites = pack("host.comfy.transformers.sites")
    taps = pack("host.comfy.transformers.taps")
    record = pack("host.shared.families").FAMILIES[family]
    denoiser = model_of(family).model.diffusion_model
    block = getattr(denoiser, record.transformer.blocks[0][0])[1]
    monkeypatch.setattr(
        block, "comfy_attention", SimpleNamespace(function=lambda *args, **kwargs: "int8"), raising=False
    )
    preferred = sites.preferred_attention(record, denoiser)
    table = sites.site_table(record, denoiser)
    listener = taps.TransformerListener(table, (), lambda call: None, preferred)
    rows = sites.rows_of(record, denoiser, SIZE, 7, 7)
    listener.begin(rows)
    total = rows.text + rows.picture if family != "anima" else rows.cells
    q = torch.zeros(1, 2, total, 4)
    kind = record.transformer.blocks[0][1]
    for index, expected in ((0, "stock"), (1, "int8")):
        options = {"transformer_options": {"block_type": kind, "block_index": index}, "skip_reshape": True}
        assert listener.compute(lambda *args, **kwargs: "stock", q, q, q, 2, **options) == expected


def test_other_transformers_are_refused_by_name(comfyui, run, pack):
    import comfy.model_base

    model = comfy.model_base.HiDream.__new__(comfy.model_base.HiDream)
    patcher = SimpleNamespace(model=model, clone=None, model_options={}, get_model_object=lambda name: None)
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match=r"HiDream.*supported are.*Z-Image.*Anima"):
        pack("host.adapters").backbone_of(patcher)
