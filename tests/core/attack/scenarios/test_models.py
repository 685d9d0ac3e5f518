"""Which model each scenario draws with, and what it asks it: three models, of which each differs from the others."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from concept_atelier.core.attack.registry import SCENARIOS
from concept_atelier.core.attack.run import attack
from concept_atelier.core.attack.scenarios.text import SENTENCES
from concept_atelier.core.erase.registry import METHODS

NAME = {"a photo of a cat"}
FLOOR = {"a photo of a dog", "a photo of a car"}
ASKED = {
    "names": (NAME, NAME),
    "synonyms": ({"a photo of a kitty"},) * 2,
    "sentences": ({"a drawing of a cat"},) * 2,
    "relatives": ({"a photo of a animal"},) * 2,
    "embedding": ({"a photo of a <concept>"},) * 2,
    "embedding_transferred": ({"a photo of a <concept>"},) * 2,
    "inversion": (set(), set()),
    "inversion_transferred": (set(), set()),
    "img2img": (NAME, NAME),
    "inpainting": (NAME, NAME),
    "noise": (NAME, NAME),
    "sequence": (set(), NAME),
    "relearning": (NAME, NAME),
}
"""Scenario to what the erased and the original model are asked for, but for :data:`FLOOR`."""
TRANSFERRED = ("embedding_transferred", "inversion_transferred")


@dataclass(frozen=True)
class Reading:
    """A backbone that keeps the texts that it reads."""

    backbone: object
    read: set = field(default_factory=set)

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def encode_text(self, texts, placeholders=None):
        self.read.update(text for text in texts if text)
        return self.backbone.encode_text(texts, placeholders)


@pytest.fixture(scope="module")
def models(lab_model, lab_clip, lab_vae, lab_backbone):
    """The original, one from which the concept is erased, and one from which another thing is erased besides."""
    from concept_atelier.host.adapters import backbone_of, with_erasure

    made, model, uce = [lab_backbone], lab_model, METHODS["uce"]
    for concept in ("cat", "dog"):
        settings = replace(uce.preset("small"), damping=1e-3)
        erasure = uce.erase(backbone_of(model, lab_clip, lab_vae), [concept], "", settings=settings)
        model = with_erasure(model, erasure)
        made.append(backbone_of(model, lab_clip, lab_vae))
    return made


@pytest.fixture(scope="module")
def asked_of(task, models):
    """All scenarios on a given picture, with two of the models as original and as erased."""
    settings = replace(task().settings, draws=1, shown=1, learn_steps=1, relearn_steps=1)
    shown = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def go(original, erased, further=models[2], **changes):
        given = task(pictures=shown, settings=settings, erase_more=lambda words: further)
        return replace(given, original=original, erased=erased, **changes)

    return go


@pytest.fixture(scope="module")
def by_one(asked_of, models):
    """What either model draws in every scenario where nothing was erased from it: scenario to attempt."""
    done = [attack(asked_of(model, model, model), list(SCENARIOS)) for model in models[:2]]
    return [{outcome.scenario.name: outcome.attempt for outcome in one.outcomes} for one in done]


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_model_draws_its_part_and_is_asked_for_what_the_scenario_says(asked_of, models, by_one, name):
    original, erased, further = map(Reading, models)
    made = attack(asked_of(original, erased, further), [name]).outcomes[0].attempt
    of_original, of_erased = (one[name] for one in by_one)
    assert torch.equal(made.ceiling, of_original.ceiling) and torch.equal(made.floor, of_original.floor)
    assert not torch.allclose(made.erased, of_original.ceiling, atol=1e-4)
    assert not torch.allclose(made.erased, of_original.erased, atol=1e-4)
    # What the original model found is not what the erased one finds, and other erasures make another model.
    assert torch.equal(made.erased, of_erased.erased) == (name not in (*TRANSFERRED, "sequence"))
    by_erased, by_original = ASKED[name]
    assert erased.read == by_erased and original.read - FLOOR == by_original - FLOOR
    assert further.read == (NAME if name == "sequence" else set())


def test_after_further_erasures_the_last_model_draws(asked_of, models):
    made = attack(asked_of(models[0], models[1]), ["sequence"]).outcomes[0].attempt
    assert torch.equal(made.erased, asked_of(models[2], models[2]).named())


def test_every_sentence_names_the_concept():
    assert all("{}" in sentence for sentence in SENTENCES)
