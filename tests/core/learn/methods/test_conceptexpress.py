from dataclasses import asdict, fields, replace

import pytest
import torch

from concept_atelier.core.learn.engine.loop import optimise
from concept_atelier.core.learn.engine.task import Task
from concept_atelier.core.learn.engine.trainee import start_trainee
from concept_atelier.core.learn.methods.conceptexpress import (
    METHOD,
    ConceptExpressSettings,
    step_loss,
)
from concept_atelier.core.learn.parts.examples import prepare
from concept_atelier.core.learn.parts.prompts import single_and_joint
from concept_atelier.core.types import Concepts

QUICK = ConceptExpressSettings(steps=2, rate=1e-2, attention_weight=1e-2, downscale=2, iterations=20)


def vectors(tokens, name="apple"):
    return tokens.vectors[name]["clip_l"]


@pytest.fixture(scope="module")
def plain(lab_backbone, picture, concepts):
    """What the quick settings learn, shared by the tests that change one thing."""
    return METHOD.learn(lab_backbone, picture, concepts, QUICK)


@pytest.fixture
def quick(lab_backbone, picture, concepts):
    def run(settings=QUICK, given=concepts, **options):
        return METHOD.learn(lab_backbone, picture, given, settings, **options)

    return run


def test_gives_one_token_per_concept_that_the_model_can_read(plain, lab_backbone):
    tokens = plain
    assert tokens.names == ("apple", "crab") and tokens.family == "lab"
    assert vectors(tokens).shape == (1, 192) and vectors(tokens).dtype == torch.float32
    assert tokens.losses.shape == (2,) and torch.isfinite(tokens.losses).all()
    assert all(isinstance(value, str) for value in tokens.metadata.values())
    context = lab_backbone.encode_text(["a photo of <apple> and <2>"], tokens.placeholders()).context
    assert torch.isfinite(context).all()


def test_same_seed_same_tokens_to_the_bit(quick):
    first, again, other = quick(seed=4), quick(seed=4), quick(seed=5)
    assert torch.equal(vectors(first), vectors(again)) and torch.equal(first.losses, again.losses)
    assert not torch.equal(vectors(first), vectors(other))


def test_the_global_generator_plays_no_part(quick, plain):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    tokens = quick()
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(vectors(plain), vectors(tokens))


@pytest.mark.parametrize(
    "change",
    [
        {"attention_weight": 0.0},
        {"denoising_weight": 0.0},
        {"joint": False},
        {"flip": 0.0},
        {"alignment": "mse"},
        {"alignment": "divergence"},
        {"downscale": None, "least_side": 4},
        {"timesteps": (0.0, 0.2)},
        {"template": "{} here"},
        {"weight_decay": 0.5},
        {"final_rate": 0.0},
        {"clip_norm": 1e-9},
        {"regularisation": 0.2},
        {"iterations": 1},
        {"longest_grid": 3},
        {"start": "average"},
        {"vectors": 2},
        {"split": 2, "split_share": 0.5},
        {"updates": "prompt"},
        {"even": True},
        {"start": "nearest"},
        {"merged_rate": 0.1},
        {"margin_weight": 1.0, "margin": -1.0},
        {"rank": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_matters(quick, plain, change):
    changed = quick(replace(QUICK, **change))
    assert vectors(plain).shape != vectors(changed).shape or not torch.equal(vectors(plain), vectors(changed))


def test_a_change_of_the_values_alone_leaves_keys_as_they_are(quick, plain, lab_backbone):
    tokens = quick(replace(QUICK, rank=2))
    values = [w.name for w in lab_backbone.attention_weights() if w.kind == "cross" and w.role == "value"]
    assert list(tokens.adapter) == values and not plain.adapter
    assert all((change.up @ change.down).any() for change in tokens.adapter.values())


def test_masks_steer_denoising_and_targets_steer_attention(quick, plain, concepts):
    settings = replace(QUICK, attention_weight=0.0, steps=1)
    larger = concepts.masks.clone()
    larger[0, 0, 0] = True
    alone = quick(settings)
    assert not torch.equal(vectors(alone), vectors(quick(settings, replace(concepts, masks=larger))))
    moved = replace(concepts, targets=concepts.targets.roll(1, 2))
    assert torch.equal(vectors(alone), vectors(quick(settings, moved)))
    assert not torch.equal(vectors(plain), vectors(quick(QUICK, moved)))


def test_learning_lowers_the_loss_on_a_fixed_batch(lab_backbone, picture, concepts):
    settings = replace(QUICK, steps=8, rate=2e-2)
    example = prepare(lab_backbone, picture, concepts)
    task = Task("conceptexpress", lab_backbone, picture, concepts, settings)
    trainee = start_trainee(task, torch.Generator().manual_seed(0), example.latent, reads=settings)
    prompts = single_and_joint(concepts.names, "a photo of {}")

    def loss_of(step):
        trainee.generator.manual_seed(0)
        return step_loss(trainee, example.fit_targets(trainee.grid), prompts, settings)

    losses = optimise(trainee.bank.parameters(), loss_of, settings.loop)
    assert (losses.diff() < 0).all()


def test_attention_moves_to_its_target(lab_backbone, picture, concepts):
    settings = replace(
        QUICK, steps=16, rate=5e-2, denoising_weight=0.0, attention_weight=1.0, joint=False, flip=0.0, weight_decay=0.0
    )
    losses = METHOD.learn(lab_backbone, picture, concepts, settings).losses
    assert losses[-5:].mean() < 0.99 * losses[:5].mean()


def test_the_model_is_left_as_it_was(quick, lab_modules):
    weights = {
        (part, name): parameter
        for part in ("unet", "text_encoder", "vae")
        for name, parameter in getattr(lab_modules, part).named_parameters()
    }
    before = {key: (parameter.detach().clone(), parameter.requires_grad) for key, parameter in weights.items()}
    quick()
    for key, parameter in weights.items():
        assert torch.equal(parameter, before[key][0]) and parameter.requires_grad == before[key][1], key
        assert parameter.grad is None, key


def test_a_start_word_that_was_found_is_recorded(quick):
    tokens = quick(replace(QUICK, start="nearest", steps=1), words={"crab": "photo"})
    assert '"crab": "photo"' in tokens.metadata["start_words"] and '"apple": "' in tokens.metadata["start_words"]
    searched = int(tokens.metadata["passes"])
    given = quick(replace(QUICK, start="nearest", steps=1), words={"crab": "photo", "apple": "fruit"})
    assert int(given.metadata["passes"]) == 3 < searched  # with all words given, none is searched for


class Cancelled(Exception):
    pass


def test_cancelling_leaves_no_hooks_and_the_same_model(quick, lab_modules, lab_backbone):
    def hooks():
        modules = [*lab_modules.unet.modules(), *lab_modules.text_encoder.modules()]
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)

    def noise():
        return lab_backbone.predict_noise(
            torch.ones(1, 4, 8, 8), torch.tensor([9]), lab_backbone.encode_text(["a cat"])
        )

    def cancel(step, total, loss, tokens):
        raise Cancelled

    before = hooks(), noise()
    with pytest.raises(Cancelled):
        quick(on_step=cancel)
    assert hooks() == before[0] and torch.equal(noise(), before[1])


def test_a_failing_forward_leaves_no_hooks(lab_modules, lab_backbone, picture, concepts, monkeypatch):
    def broken(*args, **kwargs):
        raise Cancelled

    monkeypatch.setattr(lab_modules.unet.mid_block, "forward", broken)
    with pytest.raises(Cancelled):
        METHOD.learn(lab_backbone, picture, concepts, QUICK)
    assert not any(module._forward_hooks for module in lab_modules.unet.modules())


def test_every_step_is_reported_with_the_tokens_so_far(quick):
    seen = []
    tokens = quick(on_step=lambda *report: seen.append(report))
    assert [(step, total) for step, total, _, _ in seen] == [(1, 2), (2, 2)]
    assert [loss for _, _, loss, _ in seen] == pytest.approx(tokens.losses.tolist())
    assert torch.equal(vectors(seen[-1][3]), vectors(tokens))
    assert not torch.equal(vectors(seen[0][3]), vectors(tokens))


def test_runs_under_inference_mode_as_nodes_do(lab_backbone, picture, concepts, plain):
    with torch.inference_mode():
        inside = Concepts(
            concepts.masks.clone(), concepts.targets.clone(), concepts.names, concepts.scores, concepts.picture_size
        )
        tokens = METHOD.learn(lab_backbone, picture.clone(), inside, QUICK)
    assert torch.equal(vectors(tokens), vectors(plain))
    assert not vectors(tokens).is_inference()


def test_masks_of_another_size_and_more_concepts_than_the_paper_allows(lab_backbone, picture):
    masks = torch.zeros(12, 20, 30, dtype=torch.bool)
    for index in range(12):
        masks[index, index, index : index + 4] = True
    targets = masks / masks.sum((1, 2), keepdim=True)
    many = Concepts(masks, targets, tuple(f"c{i}" for i in range(12)), torch.ones(12), (64, 96))
    tokens = METHOD.learn(lab_backbone, picture, many, replace(QUICK, steps=1))
    assert len(tokens.names) == 12
    assert len({tuple(vectors(tokens, name).flatten().tolist()) for name in tokens.names}) == 12


def test_starting_words_are_used_and_recorded(quick, lab_backbone):
    tokens = quick(replace(QUICK, rate=1e-9, weight_decay=0.0), words={"apple": "photo"})
    expected = lab_backbone.word_vectors("photo")["clip_l"].mean(0, keepdim=True)
    torch.testing.assert_close(vectors(tokens), expected, atol=1e-6, rtol=0)
    assert '"apple": "photo"' in tokens.metadata["words"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"timesteps": (0.5, 0.5)},
        {"timesteps": (0.0, 1.5)},
        {"flip": 1.5},
        {"final_rate": -0.1},
        {"attention_weight": -1.0},
        {"attention_weight": 0.0, "denoising_weight": 0.0},
        {"iterations": 0},
        {"vectors": 0},
        {"steps": 0},
        {"regularisation": 0.0},
        {"split": 0},
        {"split_share": 1.5},
        {"updates": "sometimes"},
        {"class_weight": -1.0},
        {"cycle_weight": -1.0},
        {"search": -1},
        {"search": 10, "split": 2},
        {"search_rate": 0.0},
    ],
    ids=str,
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        ConceptExpressSettings(**wrong)


def test_presets_differ_and_every_setting_has_help():
    assert asdict(METHOD.preset("paper")) != asdict(METHOD.preset("small"))
    assert (METHOD.preset("paper").steps, METHOD.preset("paper").rate, METHOD.preset("paper").attention_weight) == (
        500,
        5e-4,
        1e-5,
    )
    assert all(field.metadata["help"] for field in fields(ConceptExpressSettings))
