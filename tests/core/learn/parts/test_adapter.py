import pytest
import torch

from concept_atelier.core.backbone import AttentionWeight
from concept_atelier.core.learn.parts.adapter import choose_weights, start_adapter, start_direction
from concept_atelier.host.adapters import backbone_of

WEIGHTS = [
    AttentionWeight(f"{kind}.{role}", kind, role, (8, 6))
    for kind in ("self", "cross")
    for role in ("query", "key", "value", "out")
]


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("cross_value", ["cross.value"]),
        ("cross_key_value", ["cross.key", "cross.value"]),
        ("cross", [weight.name for weight in WEIGHTS[4:]]),
        ("all", [weight.name for weight in WEIGHTS]),
    ],
)
def test_layers_choose_weights(layers, names):
    assert [weight.name for weight in choose_weights(WEIGHTS, layers)] == names


def test_other_layers_and_models_without_any_are_refused():
    with pytest.raises(ValueError, match="expected cross_value, cross_key_value, cross, all, text"):
        choose_weights(WEIGHTS, "values")
    with pytest.raises(ValueError, match="by which text enters"):
        choose_weights(WEIGHTS, "text")
    with pytest.raises(ValueError, match="no attention weights"):
        choose_weights(WEIGHTS[:4], "cross")


def test_it_starts_at_nothing_and_down_is_of_unit_size(lab_backbone, generator):
    bank = start_adapter(lab_backbone, 4, generator=generator)
    names = [w.name for w in lab_backbone.key_value_weights()]
    assert list(bank.factors) == names and len(bank.parameters()) == 2 * len(names)
    for factor in bank.factors.values():
        assert not factor.up.any() and factor.up.requires_grad and factor.down.shape[0] == 4
        assert float(factor.down.detach().square().sum(1).mean()) == pytest.approx(1, abs=0.3)


def test_the_rank_is_cut_to_the_weight_and_none_is_none(lab_backbone, generator):
    whole = start_adapter(lab_backbone, 10_000, generator=generator)
    sizes = {w.name: min(w.shape) for w in lab_backbone.attention_weights()}
    assert all(factor.up.shape[1] == sizes[name] for name, factor in whole.factors.items())
    assert start_adapter(lab_backbone, 0, generator=generator).parameters() == []
    with pytest.raises(ValueError, match="got -1"):
        start_adapter(lab_backbone, -1, generator=generator)


def test_the_start_token_is_the_same_in_every_text_and_stays_untouched(lab_backbone, generator):
    bank = start_adapter(lab_backbone, 3, "cross", generator=generator)
    with torch.no_grad():
        contexts = lab_backbone.encode_text(["", "a photo of a cat", "two dogs"]).context[:, 0]
        for factor in bank.factors.values():
            factor.up.normal_(generator=generator)
    direction = start_direction(lab_backbone)
    torch.testing.assert_close(contexts / contexts.norm(dim=1, keepdim=True), direction.expand(3, -1))
    for name, change in bank.snapshot().items():
        moved = change.dense() @ direction if change.down.shape[1] == len(direction) else None
        reads_text = "attn2.to_k" in name or "attn2.to_v" in name
        assert (moved is not None and moved.abs().max() < 1e-5) == reads_text
        assert change.dense().abs().max() > 0.1
    free = start_adapter(lab_backbone, 3, keep_start=False, generator=generator)
    assert free.untouched == {}


def test_the_weights_by_which_text_enters_are_keys_and_values_of_a_unet(lab_backbone):
    starts = [
        start_adapter(lab_backbone, 3, layers, generator=torch.Generator().manual_seed(4))
        for layers in ("text", "cross_key_value")
    ]
    assert list(starts[0].factors) == list(starts[1].factors) == list(starts[0].untouched)
    assert all(torch.equal(one.down, starts[1].factors[name].down) for name, one in starts[0].factors.items())


def test_they_are_the_text_entry_of_a_transformer(lab_transformer, generator):
    backbone = backbone_of(*lab_transformer)
    bank = start_adapter(backbone, 3, "text", generator=generator)
    with torch.no_grad():
        bank.factors["txt_in.weight"].up.normal_(generator=generator)
    direction = start_direction(backbone)
    (change,) = bank.snapshot().values()
    assert (change.dense() @ direction).abs().max() < 1e-5 and change.dense().abs().max() > 0.1
    given = torch.ones(1, 4, 8, 8), torch.tensor([9]), backbone.encode_text(["a cat"])
    with bank.in_force(backbone):
        changed = backbone.predict_target(*given)
    gradients = torch.autograd.grad(changed.sum(), bank.parameters())
    assert all(one.abs().sum() > 0 for one in gradients)


def test_a_snapshot_is_a_copy(lab_backbone, generator):
    bank = start_adapter(lab_backbone, 2, generator=generator)
    before = bank.snapshot()
    with torch.no_grad():
        next(iter(bank.factors.values())).up.add_(1)
    name = next(iter(before))
    assert not before[name].up.any() and not before[name].up.requires_grad and bank.snapshot()[name].up.any()


def test_in_force_means_in_the_prediction(lab_backbone, generator):
    bank = start_adapter(lab_backbone, 2, generator=generator)
    given = torch.ones(1, 4, 8, 8), torch.tensor([9]), lab_backbone.encode_text(["a cat"])
    plain = lab_backbone.predict_noise(*given)
    with bank.in_force(lab_backbone):
        assert lab_backbone.predict_noise(*given).equal(plain)
    with torch.no_grad():
        for factor in bank.factors.values():
            factor.up.normal_(generator=generator)
    with bank.in_force(lab_backbone):
        changed = lab_backbone.predict_noise(*given)
    gradients = torch.autograd.grad(changed.sum(), bank.parameters())
    assert not torch.allclose(changed, plain, atol=1e-3) and all(g.abs().sum() > 0 for g in gradients)
