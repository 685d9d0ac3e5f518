"""Guards against known answers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.bench.command import load_backbone
from concept_atelier.core.attention.words import first_places
from concept_atelier.core.backbone import Conditioning, TokenizedText
from concept_atelier.core.erase.guards.adavd import _basis
from concept_atelier.core.erase.guards.guard import Guarded, GuardTask, along, fresh_noise, slope_of
from concept_atelier.core.erase.guards.registry import METHODS
from concept_atelier.core.schedule import FlowSchedule, flow_sigmas

SCHEDULE = FlowSchedule(flow_sigmas().clamp(max=0.999))
LEVEL = torch.tensor(0.6)


def vector_model():
    """Its prediction is its text: the first 4 numbers of the context, in every cell."""

    def predict(latent, timestep, conditioning):
        return conditioning.context[:, 0, :4, None, None].expand_as(latent)

    return SimpleNamespace(schedule=SCHEDULE, predict_target=predict, family="flux")


def text(*values):
    return Conditioning(torch.tensor(values).view(1, 1, 4))


def task_of(name, strength=1.0, times=1, preserve=(), **changes):
    guard = METHODS[name]
    concept = Guarded("cat", text(1.0, 1.0, 0.0, 0.0), TokenizedText((), None, 0, 1), (0,), text(1.0, 0.0, 0.0, 0.0))
    settings = type(guard.preset("paper"))(**changes)
    model = vector_model()
    kept = tuple(replace(concept, conditioning=text(*values)) for values in preserve)
    return guard.begin(GuardTask(model, model, (concept,) * times, settings, strength, 0, kept))


def corrected(run, slope, guidance=1.0):
    given = torch.tensor(slope).view(1, 4, 1, 1).expand(1, 4, 2, 3)
    return run.corrected(given, torch.zeros(1, 4, 2, 3), LEVEL, guidance)[0, :, 0, 0].tolist()


@pytest.mark.parametrize("strength", [1.0, 0.5, -1.0])
def test_dve_takes_the_share_of_the_direction(strength):
    run = task_of("dve", strength, only_towards=False)
    assert corrected(run, [3.0, 2.0, 5.0, 0.0]) == pytest.approx([3.0, 2.0 * (1 - strength), 5.0, 0.0])
    assert corrected(run, [3.0, -2.0, 5.0, 0.0]) == pytest.approx([3.0, -2.0 * (1 - strength), 5.0, 0.0])


def test_dve_may_leave_what_leads_away():
    run = task_of("dve", only_towards=True)
    assert corrected(run, [3.0, -2.0, 5.0, 0.0]) == pytest.approx([3.0, -2.0, 5.0, 0.0])
    assert corrected(run, [3.0, 2.0, 5.0, 0.0]) == pytest.approx([3.0, 0.0, 5.0, 0.0])


def test_the_guidance_of_the_concept_becomes_that_of_its_anchor():
    """The prediction for the concept at guidance g, from an unconditional one of 0, becomes that for its anchor."""
    assert corrected(task_of("guidance", share=False), [4.0, 4.0, 0.0, 0.0], 4.0) == pytest.approx([4.0, 0, 0, 0])
    assert corrected(task_of("guidance", share=True), [4.0, 4.0, 0.0, 0.0], 4.0) == pytest.approx([4.0, 0, 0, 0])
    assert corrected(task_of("guidance", share=True), [4.0, 0.0, 7.0, 0.0], 4.0) == pytest.approx([4.0, 0, 7.0, 0])


def test_a_strength_below_0_adds_what_was_taken_out():
    guided = task_of("guidance", -1.0, share=False), task_of("guidance", -1.0, share=True)
    for run in guided:
        assert corrected(run, [4.0, 4.0, 0.0, 0.0], 4.0) == pytest.approx([4.0, 8.0, 0.0, 0.0])
    assert corrected(guided[1], [4.0, 0.0, 7.0, 0.0], 4.0) == pytest.approx([4.0, 0.0, 7.0, 0.0])  # it is not there


@pytest.mark.parametrize("name", ["guidance", "dve"])
def test_what_two_names_of_a_thing_share_is_taken_once(name):
    """Synonyms lead in nearly one direction; what the first took out is gone when the second comes."""
    given = [4.0, 3.0, 7.0, 0.0]
    assert corrected(task_of(name, times=3), given, 4.0) == pytest.approx(corrected(task_of(name), given, 4.0))


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_nothing_is_taken_out_along_what_is_preserved(strength):
    """Of the direction (0, 1, 0, 0) half of (0, 1, -1, 0) is left beside (0, 1, 1, 0)."""
    run = task_of("dve", strength, preserve=[(1.0, 1.0, 1.0, 0.0)], only_towards=False)
    wanted = [3.0, 2.0 + 1.5 * strength, 5.0 - 1.5 * strength, 0.0]
    assert corrected(run, [3.0, 2.0, 5.0, 0.0]) == pytest.approx(wanted)
    run = task_of("guidance", strength, preserve=[(1.0, 1.0, 1.0, 0.0)], share=False)
    assert corrected(run, [4.0, 4.0, 0.0, 0.0], 4.0) == pytest.approx([4.0, 4 - 2 * strength, 2 * strength, 0.0])


@pytest.mark.parametrize("name", ["guidance", "dve"])
def test_what_is_preserved_may_be_the_concept_itself_its_anchor_or_named_twice(name):
    given, anchor, other = [4.0, 3.0, 7.0, 0.0], (1.0, 0.0, 0.0, 0.0), (1.0, 0.0, 1.0, 1.0)
    itself = task_of(name, preserve=[(1.0, 5.0, 0.0, 0.0)])
    assert corrected(itself, given, 4.0) == pytest.approx(given)
    plain = corrected(task_of(name), given, 4.0)
    assert corrected(task_of(name, preserve=[anchor]), given, 4.0) == pytest.approx(plain)
    assert corrected(task_of(name, preserve=[other, other, anchor]), given, 4.0) == pytest.approx(plain)


def test_a_guard_acts_within_its_span():
    assert corrected(task_of("dve", start=0.9), [3.0, 2.0, 5.0, 0.0]) == pytest.approx([3.0, 2.0, 5.0, 0.0])


def test_the_share_along_nothing_is_nothing():
    zero = torch.zeros(1, 4, 2, 2)
    assert float(along(torch.ones(1, 4, 2, 2), zero)) == 0


@pytest.fixture(scope="module")
def trained():
    """The lab model as it ships: at random weights all words are alike."""
    return load_backbone()


def adavd(*concepts, **changes):
    """A run of AdaVD on texts of 3 rows in chunks, the first row of each a start token."""
    nothing, tokens = text(0.0, 0, 0, 0), TokenizedText((), 0, 2, 3)
    read = tuple(Guarded(name, nothing, tokens, (1,), nothing) for name in concepts)
    guard, model = METHODS["adavd"], vector_model()
    settings = type(guard.preset("paper"))(**{"threshold": 0.5, "slope": 1000.0, **changes})
    return guard.begin(GuardTask(model, model, read, settings))


def rows(*values):
    """Values (1, 2, L, 2) of two heads from vectors of 4 numbers."""
    return torch.tensor(values).view(1, -1, 2, 2).transpose(1, 2)


def test_adavd_leaves_values_at_right_angles_and_takes_those_along_the_concept():
    concept, start, along_it, across = rows([1.0, 0, 1, 0]), [1.0, 0, 1, 0], [2.0, 0, 2, 0], [0.0, 5, 0, 5]
    changed = adavd("cat")._without(rows(start, along_it, across, start, across, along_it), concept)
    gone = [-2.0, 0, -2, 0]  # a weight of 2 at a cosine far above the threshold
    torch.testing.assert_close(changed, rows(start, gone, across, start, across, gone))


def test_adavd_may_compare_with_every_token_of_the_name():
    concept, value = rows([1.0, 0, 0, 0], [0.0, 1, 0, 0]), rows([9.0, 9, 9, 9], [0.0, 3, 0, 0], [2.0, 0, 0, 0])
    changed = adavd("cat", everywhere=True)._without(value, concept)
    torch.testing.assert_close(changed, rows([9.0, 9, 9, 9], [0.0, -3, 0, 0], [-2.0, 0, 0, 0]))


def test_adavd_finds_the_concept_anywhere_in_a_prompt_and_leaves_other_words(trained):
    """The cosine of each word's value with what is left of it, in every layer."""
    tokens, encoded = trained.tokenize("a photo of rocket"), trained.encode_text(["a photo of rocket"])
    rocket, guard = Guarded("rocket", encoded, tokens, first_places(tokens, "rocket"), encoded), METHODS["adavd"]
    run = guard.begin(GuardTask(trained, trained, (rocket,), guard.preset("paper")))
    latent, level = torch.zeros(1, 4, 8, 8), torch.tensor(5.0)
    run.perturbed(latent, level)

    def kept(prompt, word):
        found, place = [], first_places(trained.tokenize(prompt), word)[0]

        def read(inputs):
            if inputs.call.site.kind == "cross":
                (concept,) = run._kept[inputs.call.site.name]
                before, after = inputs.value, run._without(inputs.value, concept)
                pair = before[0, :, place].flatten(), after[0, :, place].flatten()
                found.append(float(torch.cosine_similarity(*pair, dim=0)))

        with trained.edit_attention(read):
            slope_of(trained, trained.encode_text([prompt]), latent, level)
        return min(found), max(found)

    for word in ("a", "photo", "of", "strawberry"):
        assert kept("a photo of strawberry", word)[0] > 0.99
    assert kept("a photo of rocket", "rocket")[1] < -0.9 and kept("a drawing of a big rocket", "rocket")[1] < 0.9


def test_adavd_takes_nothing_along_the_values_of_what_is_preserved(trained):
    guard, latent, level = METHODS["adavd"], torch.zeros(1, 4, 8, 8), torch.tensor(5.0)

    def guarded(word):
        tokens, encoded = trained.tokenize(f"a photo of {word}"), trained.encode_text([f"a photo of {word}"])
        return Guarded(word, encoded, tokens, first_places(tokens, word), encoded)

    def values(concept, *preserve):
        task = GuardTask(trained, trained, (guarded(concept),), guard.preset("paper"), preserve=tuple(preserve))
        run = guard.begin(task)
        run.perturbed(latent, level)
        return {site: own.flatten() for site, (own,) in run._kept.items()}

    rocket, kept, left = values("rocket"), values("strawberry"), values("rocket", guarded("strawberry"))
    assert set(left) == set(rocket)
    for site, value in left.items():
        assert abs(float(torch.cosine_similarity(value, kept[site], dim=0))) < 1e-3
        assert float(torch.cosine_similarity(value, rocket[site], dim=0)) > 0.5


def test_a_later_concept_of_adavd_has_no_share_of_the_earlier_ones():
    first, second = _basis([rows([1.0, 1, 0, 0], [0.0, 1, 1, 0]), rows([1.0, 2, 3, 4])])
    flat = second.transpose(1, 2).flatten()
    assert all(abs(float(flat @ row)) < 1e-5 for row in first.transpose(1, 2).flatten(2)[0]) and flat.norm() > 1


@pytest.mark.parametrize("name", METHODS)
def test_every_guard_says_what_it_is_and_costs(name):
    guard = METHODS[name]
    assert list(guard.presets) == ["paper", "small"] and guard.help.endswith(".")
    assert all("pass" in settings.cost for settings in guard.presets.values())


def test_fresh_noise_is_not_that_of_a_sampler_with_the_same_seed():
    shape = (1, 4, 8, 8)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    fresh = torch.randn(shape, generator=fresh_noise(5))
    assert abs(float((drawn * fresh).mean())) < 0.2
    assert torch.equal(fresh, torch.randn(shape, generator=fresh_noise(5)))
