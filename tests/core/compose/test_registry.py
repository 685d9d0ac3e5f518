"""What every composer promises, on the lab model at random weights."""

from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.compose.composer import leave, share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.sampling import ddim

PROMPT = "a cat and a rocket"
TEXTS = ("a cat", "a rocket")
ACTING = [name for name, record in METHODS.items() if record.areas is None]
"""The methods that act in the model; :mod:`.test_areas` tests those that act by conditionings alone."""
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1


def composed(backbone, masks=(LEFT, 1 - LEFT), needs=("texts",), **options):
    concepts = [Concept(text, mask, **options) for text, mask in zip(TEXTS, masks, strict=True)]
    branches = "branches" in needs
    return compose(backbone, PROMPT, concepts, texts=branches or "texts" in needs, branches=branches)


def drawn(backbone, conditioning, run=None):
    own = {} if run is None else {"edit": None if run.edit is leave else run.edit, "before": run.before}
    return ddim(backbone, conditioning, backbone.encode_text([""]), (8, 8), steps=3, seed=1, **own)


@pytest.fixture(scope="module")
def plain(lab_backbone):
    """The latent that the prompt alone draws."""
    return drawn(lab_backbone, lab_backbone.encode_text([PROMPT]))


@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize(("preset", "placed"), [("paper", True), ("small", True), ("small", False)])
def test_a_composer_changes_the_picture_and_gives_the_same_one_again(lab_backbone, plain, name, preset, placed):
    composer = METHODS[name]
    composition = composed(lab_backbone, (LEFT, 1 - LEFT) if placed else (None, None), composer.needs)
    share, settings = share_of(lab_backbone.schedule.steps), composer.preset(preset)
    settings = replace(settings, refinements=2) if hasattr(settings, "refinements") else settings
    first, second = (
        drawn(lab_backbone, composition.conditioning, composer.begin(composition, settings, share)) for _ in range(2)
    )
    assert torch.equal(first, second) and bool(torch.isfinite(first).all())
    assert not torch.allclose(first, plain, atol=1e-4)


@pytest.mark.parametrize("name", ACTING)
def test_outside_its_span_a_composer_draws_the_prompt(lab_backbone, plain, name):
    """A method that acts in the last thousandth of denoising alone, which no step of three reaches."""
    composer = METHODS[name]
    settings = type(composer.preset("paper"))(start=0.999, end=1.0)
    composition = composed(lab_backbone, needs=composer.needs)
    edit = composer.begin(composition, settings, share_of(lab_backbone.schedule.steps))
    after = drawn(lab_backbone, composition.conditioning, edit)
    torch.testing.assert_close(after, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_has_a_help_text(name):
    for preset in METHODS[name].presets.values():
        assert all(entry.metadata.get("help") for entry in fields(preset))


def test_the_words_of_concepts_are_found_in_the_prompt(lab_backbone):
    composition = composed(lab_backbone)
    assert [region.words for region in composition.regions] == [(1, 2), (4, 5)]
    assert [region.columns for region in composition.regions] == [slice(77, 154), slice(154, 231)]
    own = lab_backbone.encode_text(["a rocket"]).context
    torch.testing.assert_close(composition.conditioning.context[:, 154:], own)


@pytest.mark.parametrize(
    ("concepts", "message"),
    [
        ([], "no concepts"),
        ([Concept("  ")], "has no text"),
        ([Concept("a whale")], "no word of 'a whale' is in the prompt"),
        ([Concept("a cat", torch.zeros(4, 4))], "is empty"),
        ([Concept("a cat", torch.full((4, 4), 2.0))], "0 to 1"),
        ([Concept("a cat", torch.ones(1, 4, 4))], r"must be \(h, w\)"),
        ([Concept("a cat", LEFT, start=0.5, end=0.5)], "a span within 0 to 1"),
        ([Concept("a cat", LEFT, weight=-1)], "weight"),
    ],
)
def test_what_cannot_be_composed_is_refused(lab_backbone, concepts, message):
    with pytest.raises(ValueError, match=message):
        compose(lab_backbone, PROMPT, concepts)
