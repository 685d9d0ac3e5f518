"""What every method promises, whichever it is."""

import json
import re
from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.bench.command import load_backbone
from concept_atelier.core.learn.engine.settings import LearnSettings
from concept_atelier.core.learn.registry import METHODS, written
from concept_atelier.core.masks.edit import edit, grow
from concept_atelier.core.types import Concepts, ConceptTokens, Source

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_presets_and_help(name):
    method = METHODS[name]
    assert method.name == name and method.title and len(method.help) > 40 and method.help.endswith(".")
    assert method.note == "" or method.note.endswith(".")
    assert next(iter(method.presets)) == "paper" and "small" in method.presets
    assert all(settings.cost for settings in method.presets.values())
    for settings in method.presets.values():
        assert isinstance(settings, LearnSettings)
        assert all(field.metadata["help"] for field in fields(settings))


def passes_of(cost, concepts):
    """The sum of the passes that a text such as ``3 N + 2 (N + 1) passes, 4 on prior pictures`` names."""
    factors = {"": 1, " N": concepts, " (N + 1)": concepts + 1}
    heads = [re.match(r"[\d N()+]*", part).group() for part in cost.split(", ") if not part.startswith("and ")]
    return sum(int(n) * factors[of] for head in heads for n, of in re.findall(r"(\d+)( \(N \+ 1\)| N|)", head))


@every_method
def test_a_preset_it_does_not_have(name):
    with pytest.raises(ValueError, match="it has paper, "):
        METHODS[name].preset("nonsense")


@every_method
def test_learns_tokens_that_the_model_reads_and_says_what_it_cost(name, lab_backbone, picture, concepts):
    settings = replace(METHODS[name].presets["small"], steps=1)
    seen = []
    tokens = METHODS[name].learn(
        lab_backbone,
        picture,
        concepts,
        settings,
        classes={"apple": "fruit", "crab": "fish"},
        seed=3,
        on_step=lambda *report: seen.append(report[:2]),
    )
    assert tokens.names == concepts.names and tokens.metadata["method"] == name
    passes, counted = int(tokens.metadata["passes"]), passes_of(settings.cost, len(concepts))
    open_ended = re.search("1 to 4 for each|for each that the model knows", settings.cost)
    assert passes > counted if open_ended else passes == counted
    assert int(tokens.metadata["updates"]) == len(tokens.losses) == len(seen)
    assert seen == [(step, len(seen)) for step in range(1, len(seen) + 1)]
    context = lab_backbone.encode_text(["a photo of <apple> and <2>"], tokens.placeholders()).context
    assert torch.isfinite(context).all() and torch.isfinite(tokens.losses).all()


@every_method
def test_empty_masks_and_unknown_words_are_refused(name, lab_backbone, picture, concepts):
    learn = METHODS[name].learn
    masks = concepts.masks.clone()
    masks[1] = False
    with pytest.raises(ValueError, match="masks of crab are empty"):
        learn(lab_backbone, picture, replace(concepts, masks=masks))
    for given in ({"words": {"pear": "fruit"}}, {"classes": {"pear": "fruit"}}):
        with pytest.raises(ValueError, match="for pear, but the concepts are apple, crab"):
            learn(lab_backbone, picture, concepts, **given)


@pytest.fixture(scope="module")
def other():
    """Another picture of the same concepts: taller than wide, the concepts in another order."""
    masks = torch.zeros(2, 12, 8, dtype=torch.bool)
    masks[0, 1:5, 2:7] = True
    masks[1, 6:11, 1:6] = True
    targets = masks / masks.sum((1, 2), keepdim=True)
    seen = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(6))
    return Source(seen, Concepts(masks, targets, ("crab", "apple"), torch.ones(2), (96, 64)))


def short(name, **changes):
    """The method's lab preset over three updates a phase, all its parts on: a new look at masks, a merge, a prior. No
    word is searched for, which takes longer than all updates; the tests of the search ask for it."""
    known = {field.name for field in fields(METHODS[name].presets["small"])}
    wanted = {"steps": 3, "fit_steps": 3, "prior": 1, "prior_steps": 1, "composites": 3, "refresh": 2, "split": 2}
    wanted |= {"split_share": 0.5, "updates": "prompt", "refresh_draws": 1, "rounds": 2, "start": "rare"} | changes
    return replace(METHODS[name].presets["small"], **{key: value for key, value in wanted.items() if key in known})


def learn(name, backbone, picture, concepts, settings=None, **given):
    classes = {"apple": "fruit", "crab": "fish"}
    return METHODS[name].learn(backbone, picture, concepts, settings or short(name), classes=classes, seed=3, **given)


def assert_same(one, two):
    assert one.vectors.keys() == two.vectors.keys() and one.adapter.keys() == two.adapter.keys()
    for name, of in one.vectors.items():
        for encoder, rows in of.items():
            assert torch.equal(rows, two.vectors[name][encoder]), name
    for name, change in one.adapter.items():
        assert torch.equal(change.up, two.adapter[name].up) and torch.equal(change.down, two.adapter[name].down), name


def differs(one, two):
    return any(
        not torch.equal(rows, two.vectors[name][encoder])
        for name, of in one.vectors.items()
        for encoder, rows in of.items()
    )


@every_method
def test_a_second_picture_is_learnt_from_by_name(name, lab_backbone, picture, concepts, other):
    settings = short(name, prior=0)  # its updates: of which the last one draws the second picture
    alone = learn(name, lab_backbone, picture, concepts, settings)
    both = learn(name, lab_backbone, picture, concepts, settings, more=[other])
    assert (alone.metadata["pictures"], both.metadata["pictures"]) == ("1", "2")
    assert differs(alone, both)
    reordered = replace(other, concepts=other.concepts.pick([1, 0]))
    assert_same(both, learn(name, lab_backbone, picture, concepts, settings, more=[reordered]))


@every_method
def test_a_second_picture_of_other_concepts_is_refused(name, lab_backbone, picture, concepts, other):
    with pytest.raises(ValueError, match="the first has apple, crab, another one crab"):
        learn(name, lab_backbone, picture, concepts, more=[replace(other, concepts=other.concepts.pick([0]))])


class Kept(dict):
    """States by fingerprint, in memory."""

    every = 1

    def load(self, fingerprint):
        return self.get(fingerprint)

    def save(self, fingerprint, state):
        self[fingerprint] = {name: tensor.clone() for name, tensor in state.items()}

    def discard(self, fingerprint):
        self.pop(fingerprint, None)

    def set_aside(self, fingerprint, why):
        self.pop(fingerprint)
        self.why = why


class Cancelled(Exception):
    pass


def cancel_after(update):
    def on_step(done, total, loss, tokens):
        if done == update:
            raise Cancelled

    return on_step


@every_method
def test_a_cancelled_training_goes_on_to_the_same_tokens(name, lab_backbone, picture, concepts, other):
    """Cancelled twice, and taken up each time: in the first phase or within a step, and in the second phase."""
    given = {"settings": short(name, steps=2) if name == "conceptexpress" else None, "more": [other]}
    whole = learn(name, lab_backbone, picture, concepts, **given)
    kept, updates = Kept(), int(whole.metadata["updates"])
    for update in (1, updates - 1):
        with pytest.raises(Cancelled):
            learn(name, lab_backbone, picture, concepts, store=kept, on_step=cancel_after(update), **given)
        assert len(kept) == 1
    seen = []
    taken_up = learn(
        name, lab_backbone, picture, concepts, store=kept, on_step=lambda *report: seen.append(report[:2]), **given
    )
    assert seen == [(updates, updates)] and not kept
    assert_same(whole, taken_up)
    assert torch.equal(whole.losses, taken_up.losses)
    assert taken_up.metadata == {**whole.metadata, "resumed_at": str(updates - 1)}


@pytest.mark.parametrize("name", ["conceptexpress", "cones", "break_a_scene"])
def test_adaptive_weights_go_on_from_where_they_were(name, lab_backbone, picture, concepts, other):
    """Cancelled where the weights have left their start, and moved further behind it: to begin again, or to keep what
    they were at the cancel, gives other weights. A method of each engine: others train by one of these."""
    settings = short(name, steps=5, fit_steps=5, adaptive_rate=3.0, split=1)
    given = {"more": [other], "weights": (1.0, 0.5)}
    whole, kept = learn(name, lab_backbone, picture, concepts, settings, **given), Kept()
    with pytest.raises(Cancelled):
        late = 2 * int(whole.metadata["updates"]) // 3
        learn(name, lab_backbone, picture, concepts, settings, store=kept, on_step=cancel_after(late), **given)
    (state,) = kept.values()
    labelled, end = state["hidden.adaptive.weights"], json.loads(whole.metadata["picture_weights"])
    assert not torch.equal(labelled, torch.full((2,), 0.5, dtype=torch.float64))
    assert end != [round(float(weight), 4) for weight in labelled * torch.tensor([1.0, 0.5], dtype=torch.float64)]
    resumed = learn(name, lab_backbone, picture, concepts, settings, store=kept, **given)
    assert_same(whole, resumed)
    assert resumed.metadata["picture_weights"] == whole.metadata["picture_weights"]


def test_a_search_in_rounds_goes_on_from_wherever_it_was_cancelled(lab_backbone, picture, concepts):
    settings = short("cones", steps=3, fit_steps=2)
    whole = learn("cones", lab_backbone, picture, concepts, settings)
    for update in range(1, 5):
        kept = Kept()
        with pytest.raises(Cancelled):
            learn("cones", lab_backbone, picture, concepts, settings, store=kept, on_step=cancel_after(update))
        assert_same(whole, learn("cones", lab_backbone, picture, concepts, settings, store=kept))


def test_a_training_after_a_search_goes_on_from_wherever_it_was_cancelled(lab_backbone, picture, concepts):
    settings = short("conceptexpress", search=2, steps=2, split=1, updates="step")
    whole = learn("conceptexpress", lab_backbone, picture, concepts, settings)
    updates = int(whole.metadata["updates"])
    assert updates == 2 + 3 + 2
    for update in (1, 2, 5, 6):  # within the search and the training, and between the phases
        kept = Kept()
        with pytest.raises(Cancelled):
            learn("conceptexpress", lab_backbone, picture, concepts, settings, store=kept, on_step=cancel_after(update))
        resumed = learn("conceptexpress", lab_backbone, picture, concepts, settings, store=kept)
        assert_same(whole, resumed)
        assert resumed.metadata["resumed_at"] == str(update)


def changed(name, to):
    return lambda state: state.update({name: to(state[name]) if callable(to) else to})


DAMAGE = {
    "no phase": (lambda state: state.pop("phase"), "it lacks phase"),
    "no such phase": (changed("phase", torch.tensor(7)), "phase is 7, expected at least 0 and below"),
    "negative phase": (changed("phase", torch.tensor(-1)), "phase is -1"),
    "half a phase": (changed("phase", torch.tensor(0.5)), "expected one whole number"),
    "negative passes": (changed("passes", torch.tensor(-3)), "passes is -3"),
    "no leaf": (lambda state: state.pop("leaf.0.0"), "it lacks leaf.0.0"),
    "another leaf": (changed("leaf.0.9", torch.zeros(1)), "it holds leaf.0.9, which"),
    "shape": (changed("leaf.0.0", lambda t: t[..., :-1]), "leaf.0.0 is float32"),
    "type": (changed("leaf.0.0", lambda t: t.double()), "leaf.0.0 is float64"),
    "nan": (changed("leaf.0.0", lambda t: t * torch.nan), "leaf.0.0 is not finite"),
    "infinite moments": (changed("loop.0.exp_avg", lambda t: t + torch.inf), "loop.0.exp_avg is not finite"),
    "negative squares": (changed("loop.0.exp_avg_sq", lambda t: t - 1), "negative squares"),
    "step count": (changed("loop.0.step", lambda t: t + 5), "loop.0.step is"),
    "too many updates": (changed("loop.losses", torch.zeros(9999, dtype=torch.float64)), "9999"),
    "losses in a list of lists": (changed("loop.losses", lambda t: t[None]), "loop.losses is float64"),
    "losses of no phase": (changed("losses", torch.zeros(3)), "3 losses of finished phases, expected"),
    "lengths": (changed("lengths", torch.tensor([2, 2, 2])), "updates in finished phases"),
    "random source": (changed("generator", lambda t: t[:-1]), "generator is uint8"),
}


@pytest.fixture(scope="module")
def cancelled(lab_backbone, picture, concepts):
    """A state of ConceptExpress after two updates."""
    kept = Kept()
    with pytest.raises(Cancelled):
        learn("conceptexpress", lab_backbone, picture, concepts, store=kept, on_step=cancel_after(2))
    return kept


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_state_that_is_wrong_inside_is_set_aside(cancelled, lab_backbone, picture, concepts, damage):
    kept, (change, said) = Kept({key: dict(state) for key, state in cancelled.items()}), DAMAGE[damage]
    change(next(iter(kept.values())))
    with pytest.raises(Cancelled):  # the first update is made again
        learn("conceptexpress", lab_backbone, picture, concepts, store=kept, on_step=cancel_after(1))
    assert said in kept.why


def test_work_that_starts_anew_gives_what_it_gives_without_a_state(cancelled, lab_backbone, picture, concepts):
    kept = Kept({key: {**state, "leaf.0.0": state["leaf.0.0"] * torch.nan} for key, state in cancelled.items()})
    tokens = learn("conceptexpress", lab_backbone, picture, concepts, store=kept)
    assert tokens.metadata["set_aside"] == kept.why and "resumed_at" not in tokens.metadata
    assert_same(learn("conceptexpress", lab_backbone, picture, concepts), tokens)


@pytest.mark.parametrize("name", ["conceptexpress", "attencraft", "cones"])
def test_what_a_method_kept_beside_is_checked_too(name, lab_backbone, picture, concepts):
    kept = Kept()
    with pytest.raises(Cancelled):
        learn(name, lab_backbone, picture, concepts, store=kept, on_step=cancel_after(1))
    state = next(iter(kept.values()))
    hidden = [key for key in state if key.startswith("hidden.")]
    for key in hidden:
        wrong = Kept({fingerprint: {**one, key: one[key] - 1000 * torch.nan} for fingerprint, one in kept.items()})
        if not state[key].is_floating_point():
            wrong = Kept({fingerprint: {**one, key: one[key] - 1000} for fingerprint, one in kept.items()})
        with pytest.raises(Cancelled):
            learn(name, lab_backbone, picture, concepts, store=wrong, on_step=cancel_after(1))
        assert wrong.why
    assert hidden


def test_what_was_kept_of_another_task_is_not_taken_up(lab_backbone, picture, concepts):
    kept, settings = Kept(), short("conceptexpress", steps=2)
    with pytest.raises(Cancelled):
        learn("conceptexpress", lab_backbone, picture, concepts, settings, store=kept, on_step=cancel_after(2))

    def goes_on(picture, settings):
        return "resumed_at" in learn("conceptexpress", lab_backbone, picture, concepts, settings, store=kept).metadata

    assert not goes_on((picture + 0.1).clamp(0, 1), settings)
    assert not goes_on(picture, replace(settings, rate=1e-3))
    assert goes_on(picture, settings)


@every_method
def test_edited_concepts_are_learnt_as_edited(name, lab_backbone, picture, concepts):
    """Renamed, grown and joined by Edit Concepts: the tokens are called so, and learnt from the new masks."""
    settings = short(name, steps=1)
    renamed = edit(concepts, renamed="apple=pear")
    first = METHODS[name].learn(
        lab_backbone, picture, renamed, settings, classes={"pear": "fruit", "crab": "fish"}, seed=3
    )
    assert first.names == ("pear", "crab")
    joined = edit(concepts, joined="apple+crab")
    assert METHODS[name].learn(lab_backbone, picture, joined, settings, classes={"apple": "fruit"}).names == ("apple",)
    before, after = (
        learn(name, lab_backbone, picture, some, settings) for some in (concepts, grow(concepts, 1, "apple"))
    )
    assert differs(before, after) == (name != "disendiff")  # in which masks play no part


def test_tokens_are_read_by_another_model_of_the_family(lab_backbone, picture, concepts):
    """Same tables' width, other weights: the tokens load, and mean what that model makes of them."""
    other = load_backbone()
    tokens = learn("cones", lab_backbone, picture, concepts, short("cones", steps=2, fit_steps=2))
    here, there = (
        one.encode_text(["a photo of <apple>"], tokens.placeholders()).context for one in (lab_backbone, other)
    )
    assert here.shape == there.shape and torch.isfinite(there).all() and not torch.equal(here, there)
    rare = replace(tokens, vectors={"apple": other.word_vectors("q")})
    assert not torch.equal(there, other.encode_text(["a photo of <apple>"], rare.placeholders()).context)


def test_tokens_are_written_as_they_were_learnt():
    def tokens(method):
        return ConceptTokens({"1": {}, "2": {}}, "lab", metadata={"method": method, "classes": '{"1": "cat"}'})

    assert [written(tokens("far"), name) for name in "12"] == ["<1> cat", "<2>"]
    assert written(tokens("break_a_scene"), "1") == written(ConceptTokens({"1": {}}, "lab"), "1") == "<1>"
    assert written(tokens("of another version"), "1") == "<1>"


@every_method
def test_a_change_of_the_model_comes_from_methods_that_say_so(name, lab_backbone, picture, concepts):
    tokens = learn(name, lab_backbone, picture, concepts, short(name, steps=1))
    assert bool(tokens.adapter) == METHODS[name].changes_model


@every_method
def test_every_method_starts_from_the_nearest_word(name, lab_backbone, picture, concepts):
    """The vectors begin at a real word each, but for concepts whose word is given."""
    settings = short(name, steps=1, fit_steps=1, start="nearest", rate=1e-12, fit_rate=1e-12, weight_decay=0.0)
    settings = replace(settings, **({"adapter_rate": 1e-12} if METHODS[name].changes_model else {}))
    tokens = learn(name, lab_backbone, picture, concepts, settings, words={"crab": "photo"})
    words = json.loads(tokens.metadata["start_words"])
    assert set(words) == {"apple", "crab"} and words["crab"] == "photo"
    for concept, word in words.items():
        expected = lab_backbone.word_vectors(word)["clip_l"].mean(0, keepdim=True)
        torch.testing.assert_close(tokens.vectors[concept]["clip_l"], expected, atol=1e-5, rtol=0)
