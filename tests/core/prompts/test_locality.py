import pytest
import torch

from concept_atelier.core.backbone import AttentionCall, AttentionInputs, AttentionSite
from concept_atelier.core.compose.composer import leave, share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.prompts.locality import LocalitySettings, Word, begin, localised, of_text, with_text
from concept_atelier.core.prompts.locality_measures import entropy, measure, pointer_fidelity
from concept_atelier.host.adapters import backbone_of

GRID = (2, 2)


@pytest.fixture
def attention(generator):
    return torch.randn(2, 3, 4, 5, generator=generator).softmax(-1)


def test_entropy_and_fidelity_of_known_maps():
    maps = torch.tensor([[1.0, 1, 1, 1], [3, 0, 0, 0], [1, 1, 0, 0]])
    torch.testing.assert_close(entropy(maps), torch.tensor([2.0, 0.0, 1.0]))
    target = torch.tensor([1.0, 0, 0, 1])
    torch.testing.assert_close(pointer_fidelity(maps, target), torch.tensor([0.5, 1.0, 0.5]))


def test_dials_of_0_change_nothing(attention):
    words = [Word((1,), (1,), 0.0), Word((2, 3), (3,), 0.0)]
    torch.testing.assert_close(localised(attention, words, GRID, 2.0), attention)


def test_rows_add_up_to_one_and_the_dial_is_monotone(attention):
    bits = []
    for dial in (-1.0, -0.5, 0.0, 0.5, 1.0):
        after = localised(attention, [Word((1,), (1,), dial), Word((2, 3), (3,), dial)], GRID, 4.0)
        torch.testing.assert_close(after.sum(-1), torch.ones(2, 3, 4))
        bits.append(float(entropy(after.mean((0, 1))[:, [1, 2, 3]].T).mean()))
    assert bits == sorted(bits, reverse=True)


def test_a_mask_keeps_a_word_inside(attention):
    mask = torch.tensor([[1.0, 0], [0, 0]])
    after = localised(attention, [Word((1,), (1,), 1.0, mask)], GRID, 2.0)
    assert float(after[..., 1:, 1].abs().max()) == 0
    torch.testing.assert_close(after[..., 0, :], attention[..., 0, :])
    rest = after[..., 1:, [0, 2, 3, 4]] / attention[..., 1:, [0, 2, 3, 4]]
    torch.testing.assert_close(rest, rest[..., :1].expand_as(rest))  # what the word loses goes to all others alike


def test_a_soft_mask_counts_as_it_is_given(attention):
    mask = torch.tensor([[1.0, 0.5], [0, 0]])
    after = localised(attention, [Word((1,), (1,), 1.0, mask)], GRID, 2.0)
    kept = attention[..., 1, 1] * 0.5
    torch.testing.assert_close(after[..., 1, 1], kept / (1 - kept))  # the rest of the row stays, and adds up to one


def test_a_colour_is_kept_to_where_its_thing_leads():
    """Red is read evenly, cat in cell 0 and dog in cell 3: with the dial red is gone from where dog leads."""
    attention = torch.zeros(1, 1, 4, 4)
    attention[..., 0] = 0.2  # red
    attention[0, 0, :, 1] = torch.tensor([0.7, 0.1, 0.1, 0.0])  # cat
    attention[0, 0, :, 2] = torch.tensor([0.0, 0.1, 0.1, 0.7])  # dog
    attention[..., 3] = 1 - attention.sum(-1)
    after = localised(attention, [Word((0, 1), (1,), 1.0), Word((2,), (2,), 0.0)], GRID, 1.0)
    assert float(after[0, 0, 3, 0]) == 0 and float(after[0, 0, 0, 0]) == pytest.approx(0.2)


def test_at_0_nothing_is_edited_and_negatives_never_are(lab_backbone):
    composition = compose(lab_backbone, "a red cat and a dog", [Concept("a red cat"), Concept("a dog")], texts=False)
    share = share_of(lab_backbone.schedule.steps)
    assert begin(composition, LocalitySettings(dials=(0.0, 0.0)), share).edit is leave
    latent, time = torch.randn(1, 4, 8, 12), torch.tensor([500])
    plain = lab_backbone.predict_noise(latent, time, composition.conditioning)
    changed = begin(composition, LocalitySettings(dials=(1.0, 0.0)), share).edit
    with lab_backbone.edit_attention(changed):
        assert not torch.equal(lab_backbone.predict_noise(latent, time, composition.conditioning), plain)
    late = begin(composition, LocalitySettings(dials=(1.0, 0.0), start=0.9), share).edit
    with lab_backbone.edit_attention(late):
        assert torch.equal(lab_backbone.predict_noise(latent, time, composition.conditioning), plain)


@pytest.fixture
def joint(generator):
    """A joint layer: three rows of text, of which the first pads, and four cells."""
    site = AttentionSite("joint", "joint", None, 2, 1)
    query, key, value = (torch.randn(1, 2, 7, 8, generator=generator) for _ in range(3))
    call = AttentionCall(site, query, key, 8**-0.5, GRID, (True,), view="self", columns=slice(3, 7))
    return AttentionInputs(call, value, text=slice(1, 3))


def test_a_joint_layer_leaves_the_text_as_much_as_it_was(joint):
    call = joint.call
    whole = (call.query @ call.key.mT * call.scale).softmax(-1)  # (1, 2, 7, 7)
    before = of_text(joint)
    torch.testing.assert_close(before, whole[:, :, 3:, 1:3])
    after = localised(before, [Word((1,), (1,), 1.0, torch.tensor([[1.0, 0], [0, 0]]))], GRID, 2.0)
    torch.testing.assert_close(after.sum(-1), before.sum(-1))
    whole[:, :, 3:, 1:3] = after
    torch.testing.assert_close(with_text(joint, before, after), whole @ joint.value)
    torch.testing.assert_close(with_text(joint, before, before)[:, :, :3], (whole @ joint.value)[:, :, :3])


def test_a_transformer_follows_the_dial_and_at_0_stays_as_it_is(lab_transformer):
    backbone = backbone_of(*lab_transformer)
    mask = torch.zeros(8, 12)
    mask[:4] = 1
    concepts = [Concept("a red cat", mask), Concept("a dog")]
    composition = compose(backbone, "a red cat and a dog", concepts, texts=False)
    share, latent, time = share_of(backbone.schedule.steps), torch.randn(1, 4, 8, 12), torch.tensor([500])
    plain = backbone.predict_noise(latent, time, composition.conditioning)
    with backbone.edit_attention(begin(composition, LocalitySettings(dials=(1.0, -1.0)), share).edit):
        assert not torch.equal(backbone.predict_noise(latent, time, composition.conditioning), plain)
    still = measure(backbone, latent, composition, LocalitySettings(dials=(0.0, 0.0)), levels=1)
    torch.testing.assert_close(still.before, still.after)
    found = measure(backbone, latent, composition, LocalitySettings(dials=(1.0, -1.0)), levels=1)
    assert float(found.after[0]) < float(found.before[0]) <= found.even + 1e-4
    assert float(found.fidelity[0, 1]) > 0.99 > float(found.fidelity[0, 0])


def test_measured_on_a_model(lab_backbone):
    mask = torch.zeros(8, 12)
    mask[:4] = 1
    concepts = [Concept("a red cat", mask), Concept("a dog")]
    composition = compose(lab_backbone, "a red cat and a dog", concepts, texts=False)
    latent = torch.randn(1, 4, 8, 12)
    found = measure(lab_backbone, latent, composition, LocalitySettings(dials=(1.0, -1.0)), levels=1)
    assert float(found.after[0]) < float(found.before[0]) <= found.even + 1e-4
    assert float(found.after[1]) >= float(found.before[1])
    assert float(found.fidelity[0, 1]) > 0.99 > float(found.fidelity[0, 0])
    assert bool(found.fidelity[1].isnan().all())
    late = measure(lab_backbone, latent, composition, LocalitySettings(dials=(1.0, -1.0), start=0.95), levels=1)
    torch.testing.assert_close(late.after, found.after)  # measured whatever part of denoising the dials act in


def test_what_cannot_be_meant_is_refused(lab_backbone):
    with pytest.raises(ValueError, match="from -1 to 1"):
        LocalitySettings(dials=(1.5,))
    with pytest.raises(ValueError, match="sharpness"):
        LocalitySettings(sharpness=0.0)
    composition = compose(lab_backbone, "a cat", [Concept("a cat")], texts=False)
    with pytest.raises(ValueError, match="1 words and 2 dials"):
        begin(composition, LocalitySettings(dials=(1.0, 1.0)), share_of(1000))
