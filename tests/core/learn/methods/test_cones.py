from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.learn.engine.task import Task
from concept_atelier.core.learn.methods.cones import METHOD, ConesSettings, Search, search

QUICK = replace(METHOD.preset("small"), steps=2, fit_steps=2, rows="token", rounds=1)


def vectors(tokens, name="apple"):
    return tokens.vectors[name]["clip_l"]


@pytest.fixture(scope="module")
def plain(lab_backbone, picture, concepts):
    return METHOD.learn(lab_backbone, picture, concepts, QUICK)


def searching(backbone, picture, concepts, settings=QUICK):
    return Search(Task("cones", backbone, picture, concepts, settings), torch.Generator().manual_seed(0))


def test_gives_tokens_and_the_search_alone_passes_the_denoiser(plain):
    assert plain.names == ("apple", "crab") and vectors(plain).shape == (1, 192)
    assert (plain.metadata["passes"], plain.metadata["updates"]) == ("4", "4")
    assert -1 <= float(plain.metadata["fit_cosine"]) <= 1


def test_same_seed_same_tokens(plain, lab_backbone, picture, concepts):
    again, other = (METHOD.learn(lab_backbone, picture, concepts, QUICK, seed=seed) for seed in (0, 1))
    assert torch.equal(vectors(plain), vectors(again)) and not torch.equal(vectors(plain), vectors(other))


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "tail"},
        {"pull": 10.0},
        {"fit_steps": 1},
        {"fit_rate": 1e-4},
        {"rate": 1e-4},
        {"steps": 1},
        {"rounds": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_matters(plain, lab_backbone, picture, concepts, change):
    changed = METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, **change))
    assert not torch.equal(vectors(plain), vectors(changed))


@pytest.mark.parametrize(("rows", "free"), [("token", 1), ("tail", 73)])
def test_only_rows_of_the_token_and_after_it_are_searched(lab_backbone, picture, concepts, rows, free):
    found = search(lab_backbone, picture, concepts, replace(QUICK, rows=rows))["crab"].context[0]
    start = searching(lab_backbone, picture, concepts).start.context[1]
    moved = (found - start).abs().amax(-1) > 1e-4
    assert moved.sum() == free and moved[4]  # after the start token and "a photo of"


@pytest.mark.parametrize("rows", ["token", "tail"])
def test_rows_of_two_text_encoders_are_searched_each_by_themselves(lab_backbone, twice, picture, concepts, rows):
    once, both = (searching(one, picture, concepts, replace(QUICK, rows=rows)).free for one in (lab_backbone, twice))
    assert torch.equal(both, torch.cat([once, once], 1))


class Numbered:
    """A model whose pictures read numbers of one text beside the encoded rows, as Anima's do.

    Its text has one row more before those that it encodes, so that words stand one place further on than their rows.
    """

    def __init__(self, backbone):
        self.backbone = backbone

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def tokenize(self, text, placeholders=None):
        read = self.backbone.tokenize(text, placeholders)
        tokens = tuple(replace(token, position=token.position + 1) for token in read.tokens)
        return replace(read, tokens=tokens, end=read.end + 1, length=read.length + 1)

    def encode_text(self, texts, placeholders=None):
        return replace(self.backbone.encode_text(texts, placeholders), extras={"ids": torch.arange(5)})


@pytest.mark.parametrize("rows", ["token", "tail"])
def test_where_words_and_rows_have_other_places_the_rows_that_the_token_changes_are_searched(
    lab_backbone, picture, concepts, rows
):
    chosen = replace(QUICK, rows=rows)
    plain, numbered = (searching(one, picture, concepts, chosen).free for one in (lab_backbone, Numbered(lab_backbone)))
    assert torch.equal(numbered, plain)
    found = search(Numbered(lab_backbone), picture, concepts, chosen)
    assert all(torch.equal(one.extras["ids"], torch.arange(5)) and len(one.context) == 1 for one in found.values())


def test_rows_stay_as_long_as_encoded_text_is(lab_backbone, picture, concepts):
    found = searching(lab_backbone, picture, concepts)
    with torch.no_grad():
        found.rows *= 5
    assert found.conditioning().context.norm(dim=-1).max() <= found.longest * 1.0001


def test_a_round_starts_from_what_the_tokens_say(lab_backbone, picture, concepts):
    found = searching(lab_backbone, picture, concepts)
    with torch.no_grad():
        found.rows += 1
        lion = lab_backbone.word_vectors("lion")["clip_l"]
        found.trainee.bank.vectors["clip_l"].copy_(torch.stack([lion] * 2))
        found.denoising(0)
        prompts = [prompt.text.replace("<apple>", "lion").replace("<crab>", "lion") for prompt in found.prompts]
        said = lab_backbone.encode_text(prompts).context
    torch.testing.assert_close(found.rows.detach(), said)
    torch.testing.assert_close(found.start.context, said)
    before = found.rows.detach().clone()
    with torch.no_grad():
        found.rows += 1
        found.denoising(1)
    assert not torch.equal(found.rows, before)  # later steps leave what was found


def test_a_round_starts_from_the_pooled_text_of_the_tokens_too_and_it_is_kept(lab_backbone, picture, concepts):
    first, later = searching(lab_backbone, picture, concepts), searching(lab_backbone, picture, concepts)
    now = replace(first.start, extras={"pooled_output": torch.full((2, 4), 3.0)})
    first._encode = lambda: now
    first.restart()
    assert torch.equal(first.conditioning().extras["pooled_output"], now.extras["pooled_output"])
    later.start = replace(later.start, extras={"pooled_output": torch.zeros(2, 4)})
    later.restore(first.hidden())
    assert torch.equal(later.start.extras["pooled_output"], now.extras["pooled_output"])
    assert torch.equal(later.start.context, now.context)


def test_steps_are_dealt_out_to_rounds(lab_backbone, picture, concepts):
    settings = replace(QUICK, steps=5, fit_steps=4, rounds=3)
    tokens = METHOD.learn(lab_backbone, picture, concepts, settings)
    assert (tokens.metadata["passes"], tokens.metadata["updates"]) == ("10", "9")
    more = METHOD.learn(lab_backbone, picture, concepts, replace(settings, rounds=9))  # as many as four steps allow
    assert torch.equal(
        vectors(more), vectors(METHOD.learn(lab_backbone, picture, concepts, replace(settings, rounds=4)))
    )


def test_fitting_finds_the_token_that_was_encoded(lab_backbone, picture, concepts):
    """The known answer: rows that a token gives are given back by it, and a fit comes nearer to them."""
    settings = replace(QUICK, fit_steps=12, fit_rate=2e-2)
    found = searching(lab_backbone, picture, concepts, settings)
    wanted = {f"<{name}>": lab_backbone.word_vectors("lion") for name in concepts.names}
    with torch.no_grad():
        found.rows.copy_(lab_backbone.encode_text([prompt.text for prompt in found.prompts], wanted).context)
        first, before = float(found.fitting(0)), found.cosine()
    from concept_atelier.core.learn.engine.loop import optimise

    optimise(found.trainee.bank.parameters(), found.fitting, settings.fit)
    assert found.fitting(0) < 0.7 * first and found.cosine() > before
    with torch.no_grad():
        found.trainee.bank.vectors["clip_l"].copy_(torch.stack([v["clip_l"] for v in wanted.values()]))
    assert found.fitting(0) < 1e-9 and found.cosine() == pytest.approx(1)


def test_searching_lowers_the_loss_on_a_fixed_batch(lab_backbone, picture, concepts):
    from concept_atelier.core.learn.engine.loop import optimise

    found = searching(lab_backbone, picture, concepts, replace(QUICK, steps=6))

    def loss(step):
        found.generator.manual_seed(0)
        return found.denoising(step)

    losses = optimise([found.rows], loss, found.settings.loop)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "wrong",
    [{"rows": "all"}, {"pull": -1.0}, {"fit_steps": 0}, {"fit_rate": 0.0}, {"rounds": 0}],
    ids=str,
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        ConesSettings(**wrong)


def test_every_setting_has_help():
    assert all(field.metadata["help"] for field in fields(ConesSettings))
