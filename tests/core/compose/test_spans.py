"""The weight, start and end of a concept: without them it neither is drawn nor keeps others apart."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import AttentionCall, AttentionInputs, AttentionSite
from concept_atelier.core.compose.composer import leave, share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.parts.region_guidance import RegionGuidance
from concept_atelier.core.compose.parts.regional import UNREAD, isolation, joint_bias, shares
from concept_atelier.core.compose.registry import METHODS

PROMPT = "a cat and a rocket"
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1


def composed(backbone, texts=True, cat=None, rocket=None):
    concepts = [Concept("a cat", LEFT, **(cat or {})), Concept("a rocket", 1 - LEFT, **(rocket or {}))]
    return compose(backbone, PROMPT, concepts, texts=texts)


def layer(kind, generator, time, text=0, columns=None):
    site = AttentionSite("layer", kind, None, 2, 1)
    query, key, value = torch.randn(3, 1, 2, 64 + text, 8, generator=generator)
    call = AttentionCall(site, query, key, 0.3, (8, 8), (True,), timestep=time, columns=columns)
    return AttentionInputs(call, value, text=slice(0, text) if text else None)


@pytest.mark.parametrize(
    ("cat", "rocket", "time", "apart"),
    [
        ({}, {}, 200.0, True),
        ({"end": 0.4}, {"end": 0.4}, 200.0, False),
        ({"end": 0.4}, {"end": 0.4}, 800.0, True),
        ({"start": 0.9}, {}, 200.0, False),
        ({}, {"weight": 0.0}, 800.0, False),
    ],
)
def test_only_regions_that_count_are_kept_apart(lab_backbone, generator, cat, rocket, time, apart):
    composer = METHODS["lora_composer"]
    composition = composed(lab_backbone, cat=cat, rocket=rocket)
    run = composer.begin(composition, replace(composer.preset("paper"), guidance=0.0), share_of(1000))
    assert (run.edit(layer("self", generator, time)) is not None) is apart


def test_a_region_of_half_the_weight_is_kept_apart_by_half():
    masks = torch.stack([LEFT, 1 - LEFT])[None]
    pair = (0, 0, 0, 7)  # from the first cell of the left half to the last of its row
    torch.testing.assert_close(isolation(masks, 1.0, (1.0, 0.5))[pair].exp(), torch.tensor(0.5))
    assert float(isolation(masks, 1.0, (1.0, 0.0)).abs().max()) == 0
    assert torch.equal(isolation(masks, 1.0, (2.0, 1.0)), isolation(masks, 1.0))


def test_a_style_of_less_weight_leaves_other_regions_apart():
    masks = torch.stack([LEFT, 1 - LEFT, torch.ones(8, 8)])[None]
    assert torch.equal(isolation(masks, 1.0, (1.0, 1.0, 0.3)), isolation(masks[:, :2], 1.0))


def test_in_a_joint_layer_the_text_of_a_region_reads_the_picture_while_it_counts(lab_backbone, generator):
    composition = composed(lab_backbone, rocket={"weight": 0.0})
    masks, columns = torch.stack([LEFT, 1 - LEFT])[None], slice(231, 295)
    given = layer("joint", generator, 500.0, text=231, columns=columns)
    parts = shares(composition.regions, masks, 0.5, 0.0)
    bias = joint_bias(given, composition, parts, masks, 1.0, [1.0, 0.0])
    first, second = (bias[0, 0, region.columns, columns] for region in composition.regions)
    inside = LEFT.flatten().bool()
    assert float(first[:, inside].abs().max()) == 0 and bool((first[:, ~inside] == UNREAD).all())
    assert bool((second == UNREAD).all()) and float(bias[..., columns, columns].abs().max()) == 0


def test_localized_refinement_keeps_words_out_of_regions_that_count_alone(lab_backbone):
    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([900])
    composer = METHODS["localized_refinement"]
    alone = compose(lab_backbone, PROMPT, [Concept("a cat", LEFT)], texts=False)
    moved = [
        composer.begin(one, composer.preset("paper"), share_of(1000)).before(lab_backbone, latent, time)
        for one in (alone, composed(lab_backbone, False, rocket={"start": 0.5}), composed(lab_backbone, False))
    ]
    assert torch.equal(moved[0], moved[1]) and not torch.equal(moved[0], moved[2])


def test_words_that_do_not_count_suppress_no_others(lab_backbone, generator):
    composer = METHODS["t2i_zero"]
    run = composer.begin(composed(lab_backbone, False, rocket={"end": 0.4}), composer.preset("paper"), share_of(1000))
    site = AttentionSite("layer", "cross", None, 2, 1)
    query, key, value = (torch.randn(1, 2, n, 8, generator=generator) for n in (64, 77, 77))

    def edited(time):
        return run.edit(AttentionInputs(AttentionCall(site, query, key, 0.9, (8, 8), (True,), timestep=time), value))

    assert edited(900.0) is not None and edited(200.0) is None


def test_a_concept_that_begins_later_keeps_its_first_noise(lab_backbone, generator):
    latent, time = torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([999])
    settings = METHODS["lora_composer"].preset("paper")
    late, never, both = (
        RegionGuidance(composed(lab_backbone, rocket=rocket), settings, leave)._renewed(lab_backbone, latent, time)
        for rocket in ({"start": 0.2}, {"weight": 0.0}, {})
    )
    assert torch.equal(late, never) and not torch.equal(late, both)
