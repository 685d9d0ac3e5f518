"""What every scenario promises; a new one is tested here by being registered."""

import hashlib
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attack.registry import FIVE, SCENARIOS
from concept_atelier.core.attack.run import attack, chosen, cost
from concept_atelier.core.attack.scenarios import pictures
from concept_atelier.core.erase.guards.guard import GuardRun

every_scenario = pytest.mark.parametrize("name", SCENARIOS)


@every_scenario
def test_a_record_says_what_it_is(name):
    scenario = SCENARIOS[name]
    assert scenario.name == name and scenario.title and scenario.help.endswith(".")


@pytest.fixture(scope="module")
def everything(task, lab_modules):
    """All scenarios in one run, what was reported of it, and whether the model stayed as it was."""
    before, said, given = digest(lab_modules), [], task()
    expected = cost(given, list(SCENARIOS))
    done = attack(given, list(SCENARIOS), lambda made, total: said.append((made, total)))
    return done, said, expected, before == digest(lab_modules)


def digest(modules):
    """SHA-256 of all weights."""
    found = hashlib.sha256()
    for module in (modules.unet, modules.text_encoder, modules.vae):
        for name, tensor in module.state_dict().items():
            found.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def test_an_attack_costs_what_it_says_and_changes_no_model(everything):
    done, said, expected, unchanged = everything
    assert done.passes == expected == said[-1][0] == said[-1][1]
    assert [made for made, _ in said] == sorted(made for made, _ in said)
    assert unchanged and [outcome.scenario.name for outcome in done.outcomes] == list(SCENARIOS)


@every_scenario
def test_where_nothing_was_erased_the_figure_is_the_ceiling(name, everything):
    outcome = next(outcome for outcome in everything[0].outcomes if outcome.scenario.name == name)
    attempt = outcome.attempt
    assert len(attempt.erased) == len(attempt.ceiling) == len(attempt.asked) == len(outcome.found) == 2
    if name != "relearning":  # which trains the model that is attacked
        assert torch.equal(attempt.erased, attempt.ceiling)
        assert outcome.figure.found == outcome.figure.ceiling
    for one in (attempt.erased, attempt.ceiling, attempt.floor):
        assert one.ndim == 4 and 0 <= float(one.min()) <= float(one.max()) <= 1


@every_scenario
def test_what_it_shares_it_says(name, task):
    given = task()
    alone = cost(given, [name])
    for shared in SCENARIOS[name].shared:
        given.once(shared, lambda: None)
    assert cost(given, [name]) == SCENARIOS[name].passes(given) <= alone


def test_a_scenario_gives_the_same_in_any_company(task, everything):
    done = attack(task(), ["noise"]).outcomes[0].attempt.erased
    other = next(outcome for outcome in everything[0].outcomes if outcome.scenario.name == "noise")
    assert torch.equal(done, other.attempt.erased)


def test_pictures_that_are_given_are_not_drawn(task):
    drawn = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    given = task(pictures=drawn)
    assert cost(given, ["inpainting"]) == cost(task(), ["inpainting"]) - given.drawing(2)
    (outcome,) = attack(given, ["inpainting"]).outcomes
    assert torch.equal(outcome.attempt.sources, drawn[:2])


def test_half_of_a_picture_is_kept(lab_backbone, task):
    """The left half of the latents is the picture's own in the end."""
    given, seen = task(), []
    shown = given.shown()
    latents = lab_backbone.encode_image(shown)
    pictures._filled(given, _Watched(lab_backbone, seen), shown, ["cat"])
    torch.testing.assert_close(seen[-1][..., :2], latents[..., :2], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(seen[-1][..., 2:], latents[..., 2:], atol=1e-2)


class _Watched:
    """A backbone that keeps the latents that it decodes."""

    def __init__(self, backbone, seen):
        self._backbone, self._seen = backbone, seen

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def decode_latent(self, latent):
        self._seen.append(latent)
        return self._backbone.decode_latent(latent)


def test_scenarios_that_lack_something_are_left_out_and_say_why(task):
    given = task(synonyms=(), erase_more=None)
    done = attack(given, ["names", "synonyms", "sequence"])
    assert [outcome.scenario.name for outcome in done.outcomes] == ["names"]
    assert done.left_out == {
        "synonyms": "no synonyms were named",
        "sequence": "this model cannot be erased from further",
    }
    with pytest.raises(ValueError, match="no scenario can run: synonyms: no synonyms were named"):
        attack(given, ["synonyms"])


def test_the_curve_begins_before_the_first_step_and_ends_after_the_last(everything):
    outcome = next(outcome for outcome in everything[0].outcomes if outcome.scenario.name == "relearning")
    assert [step for step, _ in outcome.attempt.curve] == [0, 1, 2]


def test_a_concept_that_a_model_still_draws_needs_no_step(task):
    class Everywhere:
        def found(self, pictures):
            return torch.ones(len(pictures), dtype=torch.bool)

    (outcome,) = attack(
        task(detector=Everywhere(), settings=replace(task().settings, relearn_steps=1)), ["relearning"]
    ).outcomes
    assert outcome.steps_to_half == 0
    assert outcome.figure.verdict == "not measurable"  # a detector that finds it everywhere says nothing


def test_cancel_ends_it_within_a_step(task, lab_modules):
    before = digest(lab_modules)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack(task(), ["relearning"], stop)
    assert digest(lab_modules) == before


@pytest.mark.parametrize(
    ("names", "message"), [([], "at least one"), (["names", "names"], "once"), (["magic"], "no scenario 'magic'")]
)
def test_names_that_cannot_be_chosen_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        chosen(names)


def test_the_five_of_the_paper_are_there():
    """A name, tokens and latents that either model found (arXiv 2512.22877)."""
    assert [scenario.name for scenario in chosen(FIVE)] == [
        "names",
        "embedding",
        "embedding_transferred",
        "inversion",
        "inversion_transferred",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concept": " "}, "name the concept"),
        ({"others": ()}, "at least one other"),
        ({"others": ("cat",)}, "take it out there"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(changes, message, task):
    with pytest.raises(ValueError, match=message):
        replace(task(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"draws": 0}, "draws must be 1 or more"), ({"noise": 0.0}, "noise must be above 0"), ({"template": "x"}, "{}")],
)
def test_settings_out_of_range_are_refused(changes, message, task):
    with pytest.raises(ValueError, match=message):
        replace(task().settings, **changes)


class Blank(GuardRun):
    """Leads every picture to grey: the clean latent that a step leads to is 0."""

    def corrected(self, slope, latent, level, guidance):
        return latent / level


def test_a_guard_acts_in_all_that_the_erased_model_draws_and_in_nothing_of_the_original(task, lab_backbone):
    erased = type(lab_backbone)(lab_backbone.model, lab_backbone.clip, lab_backbone.vae)
    names = ["names", "inversion", "img2img", "noise", "embedding"]
    guarded = attack(replace(task(guard=lambda backbone: Blank()), erased=erased), names)
    plain = attack(replace(task(), erased=erased), names)
    for one, other in zip(guarded.outcomes, plain.outcomes, strict=True):
        assert torch.equal(one.attempt.ceiling, other.attempt.ceiling)
        assert torch.equal(one.attempt.floor, other.attempt.floor)
        assert not torch.allclose(one.attempt.erased, other.attempt.erased, atol=1e-3)
        assert torch.allclose(one.attempt.erased, one.attempt.erased[:1].expand_as(one.attempt.erased), atol=1e-5)


def test_a_guard_that_does_nothing_draws_what_is_drawn_without_one(task, lab_backbone):
    erased = type(lab_backbone)(lab_backbone.model, lab_backbone.clip, lab_backbone.vae)
    names = ["inversion", "img2img"]
    guarded, plain = (
        attack(replace(task(guard=guard), erased=erased), names) for guard in (lambda backbone: GuardRun(), None)
    )
    for one, other in zip(guarded.outcomes, plain.outcomes, strict=True):
        assert torch.equal(one.attempt.erased, other.attempt.erased)
