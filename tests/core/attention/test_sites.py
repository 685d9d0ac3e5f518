"""Which layers are read where nobody chose them."""

from types import SimpleNamespace

import pytest

from concept_atelier.core.attention.sites import choose_sites
from concept_atelier.core.backbone import AttentionSite

JOINT = tuple(AttentionSite(f"block.{number}", "joint", None, number, 2) for number in range(6))


def unet():
    sites = [AttentionSite(f"layer.{scale}", "cross", "down", n, scale) for n, scale in enumerate((1, 2, 4))]
    return SimpleNamespace(attention_sites=lambda: tuple(sites))


def test_a_grid_is_chosen_by_its_scale_or_by_its_size():
    assert [site.downscale for site in choose_sites(unet(), (64, 64), 4)] == [4]
    assert [site.downscale for site in choose_sites(unet(), (16, 16), None)] == [1, 2]
    with pytest.raises(ValueError, match=r"no cross-attention at 1/8 of the latent; it has 1/n for n in \[1, 2, 4\]"):
        choose_sites(unet(), (64, 64), 8)


@pytest.mark.parametrize("downscale", [None, 2, 4])
def test_a_transformer_is_read_on_the_grid_that_it_has(downscale):
    """In the layers of its family where they are known: each layer holds a map while tokens are learnt."""
    model = SimpleNamespace(attention_sites=lambda: JOINT)
    assert choose_sites(model, (64, 64), downscale) == JOINT
    chosen = SimpleNamespace(attention_sites=lambda: JOINT, default_sites=lambda view="cross": JOINT[2:4])
    assert choose_sites(chosen, (64, 64), downscale) == JOINT[2:4]
