"""The focus of a word: shares of attention outside a mask."""

import pytest
import torch

from concept_atelier.core.attention.probabilities import call_mean
from concept_atelier.core.attribute import focus
from concept_atelier.core.attribute.focus import audit_focus

LATENT = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
LEFT = torch.zeros(64, 64)
LEFT[:, :32] = 1


@pytest.fixture
def audit(lab_backbone):
    return lambda mask=LEFT, **given: audit_focus(
        lab_backbone, LATENT, given.pop("text", "a cat on blue"), given.pop("word", "cat"), mask, **given
    )


def test_a_mask_and_its_opposite_share_the_attention(audit):
    left, right = audit(), audit(1 - LEFT)
    torch.testing.assert_close(left.outside + right.outside, torch.ones_like(left.outside))
    assert left.chance == pytest.approx(0.5) and len(left.layers) == 10 and left.outside.shape == (10, 5)


def test_it_is_the_attention_of_the_layers(audit, lab_backbone):
    found = audit(levels=1, seed=4)
    timestep = torch.tensor([round(0.5 * (lab_backbone.schedule.steps - 1))])
    noise = torch.randn(LATENT.shape, generator=torch.Generator().manual_seed(4))
    calls = {}
    with lab_backbone.tap_attention(lambda call: calls.setdefault(call.site.name, call)), torch.no_grad():
        noisy = lab_backbone.schedule.add_noise(LATENT, noise, timestep)
        lab_backbone.predict_noise(noisy, timestep, lab_backbone.encode_text(["a cat on blue"]))
    call = calls[found.layers[0]]
    own = call_mean(call)[0][:, 2].view(call.grid)
    half = call.grid[1] // 2
    assert float(found.outside[0, 0]) == pytest.approx(float(own[:, half:].sum() / own.sum()), abs=1e-5)


@pytest.mark.parametrize("inside", [True, False])
def test_even_attention_lies_outside_by_area_and_attention_inside_not_at_all(audit, monkeypatch, inside):
    """A mask of the upper left quarter; attention is the same everywhere, or the same inside and 0 outside."""
    mask = torch.zeros(64, 64)
    mask[:32, :32] = 1

    def attention(call):
        given = torch.ones(call.grid)
        if inside:
            given[call.grid[0] // 2 :] = 0
            given[:, call.grid[1] // 2 :] = 0
        return given.flatten()[None, :, None].expand(1, -1, call.key.shape[2])

    monkeypatch.setattr(focus, "call_mean", attention)
    outside = audit(mask, levels=1).outside
    torch.testing.assert_close(outside, torch.full_like(outside, 0.0 if inside else 0.75))


def test_the_mean_map_is_one_where_attention_is_even(audit):
    found = audit()
    assert found.heat.shape == (8, 8) and float(found.heat.mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(audit().outside, found.outside)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"word": "whale"}, "'whale' is not in the text"),
        ({"mask": torch.zeros(4, 4)}, "cover a part"),
        ({"mask": torch.ones(4, 4)}, "cover a part"),
        ({"levels": 0}, "levels must be"),
    ],
)
def test_what_cannot_be_audited_is_refused(audit, given, message):
    with pytest.raises(ValueError, match=message):
        audit(**given)
