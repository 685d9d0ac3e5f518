"""ConceptExpress as its release trains: an update after every prompt, split tokens, their merge, and start words that
are searched for."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import TextTooLongError
from concept_atelier.core.learn.engine.task import Task
from concept_atelier.core.learn.methods.conceptexpress import METHOD, ConceptExpressSettings, _Schedule
from concept_atelier.core.learn.methods.cones import METHOD as CONES
from concept_atelier.core.types import Concepts

QUICK = ConceptExpressSettings(steps=2, rate=1e-2, attention_weight=1e-2, downscale=2, iterations=20)
RELEASE = replace(METHOD.preset("faithful_small"), steps=5, iterations=5)


def vectors(tokens, name="apple"):
    return tokens.vectors[name]["clip_l"]


@pytest.fixture
def quick(lab_backbone, picture, concepts):
    def run(settings=QUICK, given=concepts, **options):
        return METHOD.learn(lab_backbone, picture, given, settings, **options)

    return run


def some(concepts, count):
    """So many concepts, the first two repeated."""
    order = [index % 2 for index in range(count)]
    names = tuple(f"c{index}" for index in range(count))
    return Concepts(concepts.masks[order], concepts.targets[order], names, torch.ones(count), concepts.picture_size)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_release_updates_after_every_prompt(count):
    names = tuple(f"c{index}" for index in range(count))
    plan = METHOD.preset("faithful").plan.updates(names)
    assert len(plan) == 100 * 5 * count + 400 * (count + 1)
    assert all(len(update.prompts) == 1 for update in plan)
    assert sum(update.first_of_step for update in plan) == 500 and sum(update.split for update in plan) == 500 * count
    assert plan[-1].prompts[0].members == tuple(range(count))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_passes_and_updates_are_those_of_the_plan(lab_backbone, picture, concepts, count):
    tokens = METHOD.learn(lab_backbone, picture, some(concepts, count), replace(RELEASE, attention_weight=0.0))
    assert int(tokens.metadata["passes"]) == len(tokens.losses) == 1 * 5 * count + 4 * (count + 1)
    batch = METHOD.learn(lab_backbone, picture, some(concepts, count), replace(QUICK, attention_weight=0.0))
    assert int(batch.metadata["passes"]) == 2 * (count + (count > 1)) and len(batch.losses) == 2


def test_split_tokens_are_reported_as_means_and_merged_to_them(quick):
    seen = []
    settings = replace(QUICK, split=3, split_share=0.5, rate=1e-9, weight_decay=0.0)
    tokens = quick(settings, on_step=lambda step, total, loss, now: seen.append(vectors(now)))
    torch.testing.assert_close(seen[0], seen[1], atol=1e-6, rtol=0)
    assert torch.equal(seen[1], vectors(tokens)) and vectors(tokens).shape == (1, 192)


def test_tokens_start_from_what_cones_finds(lab_backbone, picture, concepts):
    settings = replace(QUICK, search=10, search_rate=5e-2, steps=1, rate=1e-12, weight_decay=0.0)
    tokens = METHOD.learn(lab_backbone, picture, concepts, settings)
    found = CONES.learn(lab_backbone, picture, concepts, settings.cones)
    assert settings.cones.rate == 5e-2 and settings.cones.steps == 10 and settings.cones.fit_steps == 15
    torch.testing.assert_close(vectors(tokens), vectors(found), atol=1e-6, rtol=0)
    assert int(tokens.metadata["passes"]) == 10 * 2 + 1 * 3 and int(tokens.metadata["updates"]) == 10 + 15 + 1


def test_too_few_steps_to_split_begin_with_the_means(quick):
    tokens = quick(replace(QUICK, split=3, split_share=0.2, steps=1))
    assert len(tokens.losses) == 1 and tokens.metadata["passes"] == "3"


def test_every_loss_of_the_release_moves_the_tokens(quick):
    settings = replace(RELEASE, steps=2, split=2, split_share=0.5, attention_weight=1e-2)
    whole = vectors(quick(settings))
    for without in ("denoising_weight", "attention_weight", "contrastive_weight"):
        assert not torch.equal(whole, vectors(quick(replace(settings, **{without: 0.0})))), without


def test_the_picture_is_mirrored_once_a_step(lab_backbone, picture, concepts):
    task = Task("conceptexpress", lab_backbone, picture, concepts, replace(RELEASE, attention_weight=0.0, steps=4))
    schedule = _Schedule(task, torch.Generator().manual_seed(0))
    seen = []
    for number, update in enumerate(schedule.updates):
        with torch.no_grad():
            schedule.loss(number)
        seen.append((update.first_of_step, schedule.current(update)[1].latent))
    changes = [not torch.equal(now[1], before[1]) for before, now in zip(seen, seen[1:], strict=False)]
    assert any(changes)
    assert not any(changed for changed, (first, _) in zip(changes, seen[1:], strict=True) if not first)


def test_a_joint_sentence_that_does_not_fit_is_refused_before_anything_is_trained(quick):
    """Of split tokens, the joint sentence is read only after the merge; in one batch with the others it must be as
    long as they are. Updates one by one read it alone, in chunks."""
    settings = replace(QUICK, steps=4, split=2, split_share=0.5, vectors=40)
    updates = []
    with pytest.raises(TextTooLongError, match="do not fit together.*fewer vectors per token"):
        quick(settings, on_step=lambda *said: updates.append(said))
    assert not updates
    assert vectors(quick(replace(settings, updates="prompt"))).shape == (40, 192)
