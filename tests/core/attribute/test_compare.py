"""Comparing words: the maps are those of each reading by itself, and agreement and overlap are of these maps."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attention.resize import resize_maps
from concept_atelier.core.attention.stretch import stretched
from concept_atelier.core.attribute.agreement import correlations, overlaps, regions_of
from concept_atelier.core.attribute.compare import KINDS, Reading, ReadingSettings, compare_words, word_maps
from concept_atelier.core.attribute.concept_attention import ConceptSettings, concept_heatmaps
from concept_atelier.core.attribute.information import InformationSettings, word_information
from concept_atelier.host.adapters import backbone_of

LATENT = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
TEXT, WORDS, SIZE = "a cat and a rocket", ("cat", "rocket"), (32, 48)


@pytest.fixture
def reading(lab_backbone):
    return Reading(lab_backbone, LATENT, TEXT, SIZE, ReadingSettings(draws=2, levels=3), seed=5)


@pytest.fixture(scope="module")
def joint(lab_transformer):
    backbone = backbone_of(*lab_transformer)
    latent = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(3))
    channels = backbone.encode_image(torch.zeros(1, 3, 64, 64)).shape[1]
    return Reading(backbone, latent[:, :channels], TEXT, SIZE, ReadingSettings(draws=2, levels=2), seed=5)


def test_information_is_what_it_is_by_itself(reading):
    alone = word_information(reading.backbone, LATENT, TEXT, WORDS, InformationSettings(draws=3), seed=5)
    expected = stretched(resize_maps(alone, SIZE, "bilinear"))
    torch.testing.assert_close(word_maps(reading, WORDS, ["information"])[0], expected)


def test_the_mean_is_of_both_and_every_map_fills_its_range(reading):
    attention, information, both = word_maps(reading, WORDS, ["attention", "information", "both"])
    torch.testing.assert_close(both, stretched(attention + information))
    for maps in (attention, information, both):
        assert maps.shape == (2, *SIZE)
        assert maps.amin((1, 2)).eq(0).all() and maps.amax((1, 2)).eq(1).all()
    torch.testing.assert_close(word_maps(reading, WORDS, ["both"])[0], both)


def test_only_layers_that_show_a_thing_are_read(reading, lab_backbone):
    fine = tuple(s.name for s in lab_backbone.attention_sites() if s.kind == "cross" and s.downscale == 1)
    default = word_maps(reading, WORDS, ["attention"])
    assert torch.equal(default, word_maps(replace(reading, sites=fine), WORDS, ["attention"]))
    assert not torch.equal(default, word_maps(replace(reading, sites=fine[:1]), WORDS, ["attention"]))


def test_agreement_and_overlap_are_of_the_maps(reading):
    masks = torch.zeros(2, 32, 48)
    masks[0, :16], masks[1, :, 24:] = 1, 1
    found = compare_words(reading, WORDS, ["attention", "both"], masks)
    torch.testing.assert_close(found.agreement, correlations(found.maps))
    torch.testing.assert_close(found.overlap, overlaps(regions_of(found.maps), masks > 0.5))
    one = compare_words(reading, WORDS, ["attention"], masks[:1])
    assert float(one.overlap[0, 0]) == float(found.overlap[0, 0]) and one.overlap.shape == (1, 2)
    assert compare_words(reading, WORDS, ["attention"]).overlap is None


def test_concepts_are_read_beside_the_text(joint):
    (found,) = word_maps(joint, WORDS, ["concepts"])
    alone = concept_heatmaps(
        joint.backbone, joint.latent, TEXT, [*WORDS, "background"], ConceptSettings(0.5, 2), seed=5
    )
    torch.testing.assert_close(found, stretched(resize_maps(alone[:2], SIZE, "bilinear")))
    assert compare_words(joint, WORDS, KINDS).agreement.shape == (2, 4, 4)


def test_steps_are_reported_as_one_run_and_can_stop_it(reading, joint):
    steps = []
    word_maps(reading, WORDS, ["both"], lambda *step: steps.append(step))
    assert steps == [(number, 5) for number in range(1, 6)]
    steps.clear()
    word_maps(joint, WORDS, KINDS, lambda *step: steps.append(step))
    assert steps[-1] == (6, 6) and steps == sorted(steps)


@pytest.mark.parametrize(
    ("words", "kinds", "masks", "message"),
    [
        ((), ["attention"], None, "at least one word"),
        (("whale",), ["information"], None, "'whale' is not in the text"),
        (WORDS, ["saliency"], None, "no kind of map 'saliency'"),
        (WORDS, ["attention"], torch.zeros(3, 4, 4), "2 words and 3 masks"),
    ],
)
def test_what_cannot_be_compared_is_refused(reading, words, kinds, masks, message):
    with pytest.raises(ValueError, match=message):
        compare_words(reading, words, kinds, masks)


@pytest.mark.parametrize("given", [{"noise": 1.5}, {"draws": 0}, {"levels": 0}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match="noise lies in"):
        ReadingSettings(**given)
