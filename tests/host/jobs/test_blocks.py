from dataclasses import replace

import pytest

from concept_atelier.core.backbone import AttentionSite
from concept_atelier.core.localize.parts.settings import SMALL_GRID
from concept_atelier.core.masks.words import PRESETS
from concept_atelier.host.adapters import backbone_of
from concept_atelier.host.jobs.blocks import preset_changes, read_by, sites_of_blocks
from concept_atelier.host.shared.families import FAMILIES

JOINT = [AttentionSite(f"blocks.{number}", "joint", None, 2, 2) for number in range(5)]
APART = [
    AttentionSite(f"blocks.{number}.{kind}_attn", kind, None, 2, 2) for number in range(3) for kind in ("self", "cross")
]
UNET = [AttentionSite("down.0.attn2", "cross", "down", 2, 1)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("all", range(5)), ("1-3", (1, 2, 3)), ("4, 0", (0, 4)), (" 2 ", (2,)), ("0-1,1 - 2", (0, 1, 2))],
)
def test_numbers_and_ranges_name_blocks_in_the_order_they_run(text, numbers):
    assert sites_of_blocks(JOINT, text) == tuple(f"blocks.{number}" for number in numbers)


def test_a_block_brings_all_its_layers():
    assert sites_of_blocks(APART, "1") == ("blocks.1.self_attn", "blocks.1.cross_attn")


def test_nothing_leaves_the_choice_to_the_family():
    assert sites_of_blocks(JOINT, " ") is None and sites_of_blocks(UNET, "") is None


@pytest.mark.parametrize(
    ("sites", "text", "message"),
    [
        (JOINT, "5", "blocks 0 to 4, and blocks names 5"),
        (JOINT, "first", "write numbers and ranges"),
        (JOINT, "3-1", "write numbers and ranges"),
        (UNET, "1", "this model is a UNet"),
    ],
)
def test_what_cannot_be_meant_is_refused(sites, text, message):
    with pytest.raises(ValueError, match=message):
        sites_of_blocks(sites, text)


@pytest.mark.parametrize("settings", [SMALL_GRID, PRESETS["paper"]], ids=["concepts", "words"])
def test_a_transformer_is_read_as_its_family_says_unless_people_do(lab_transformer, settings):
    """Words are looked for in all blocks of the lab transformer, and the picture reads itself in the last."""
    backbone = backbone_of(*lab_transformer)
    every = tuple(site.name for site in backbone.attention_sites())
    own = {"layers": every, "self_layers": every[-1:]} if settings is not SMALL_GRID else {"layers": every[-1:]}
    read = read_by(backbone, settings)
    assert read == replace(settings, **own, noise=FAMILIES["lab_flux"].transformer.noise)
    asked = read_by(backbone, replace(settings, noise=0.2), "2")
    assert asked == replace(settings, layers=("single_transformer_blocks.0.attn",), noise=0.2)


def test_a_unet_is_read_as_the_preset_says(lab_backbone):
    assert read_by(lab_backbone, SMALL_GRID) is SMALL_GRID
    with pytest.raises(ValueError, match="this model is a UNet"):
        read_by(lab_backbone, SMALL_GRID, "all")


def test_a_family_has_values_of_its_own_in_the_preset_small_alone(lab_transformer, lab_backbone):
    backbone = backbone_of(*lab_transformer)
    own = preset_changes(backbone, "conceptexpress", "small")
    assert own["saliency_threshold"] < SMALL_GRID.saliency_threshold and replace(SMALL_GRID, **own) != SMALL_GRID
    assert preset_changes(backbone, "conceptexpress", "paper") == preset_changes(backbone, "diffseg", "small") == {}
    assert preset_changes(lab_backbone, "conceptexpress", "small") == {}


def test_the_threshold_of_the_lab_transformer_is_that_of_every_transformer():
    """With the UNet's, most blocks of the lab transformer find next to nothing (docs/transformer-results.md)."""
    transformers = [family.transformer for family in FAMILIES.values() if family.transformer is not None]
    assert len(transformers) > 8 and all(dict(one.small)["saliency_threshold"] == 1.2 for one in transformers)
