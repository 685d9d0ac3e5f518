"""The plain sampler: DDIM against its closed-form answer, and on the real model."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning, UnequalTextsError
from concept_atelier.core.sampling import ddim, encode_each, encode_for_passes, stack, starting_noise, with_rows
from concept_atelier.core.schedule import DiffusionSchedule, FlowSchedule, scaled_linear_alphas

ALPHAS = scaled_linear_alphas().float()


def conditioning_of(rows, value, length=5, extras=()):
    return Conditioning(torch.full((rows, length, 6), float(value)), {key: torch.zeros(rows, 2) for key in extras})


def one_picture_model(seen):
    """Knows one clean picture: the (constant) value of the conditioning. Its noise is exact at any level."""

    def predict(latent, timestep, conditioning):
        seen.append((len(latent), int(timestep[0]), conditioning.context[:, 0, 0].tolist()))
        level = ALPHAS[timestep][:, None, None, None]
        clean = conditioning.context[:, :1, :1, None]
        return (latent - level.sqrt() * clean) / (1 - level).sqrt()

    return SimpleNamespace(schedule=DiffusionSchedule(ALPHAS), predict_noise=predict)


def test_an_exact_model_is_followed_along_its_straight_path():
    """With exact noise e at every level, eq. 12 gives sqrt(a) clean + sqrt(1 - a) e at every level a."""
    result = ddim(
        one_picture_model([]), conditioning_of(2, 3), conditioning_of(1, 0), (4, 6), guidance=1.0, steps=7, seed=5
    )
    start = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(5))
    noise = (start - ALPHAS[-1].sqrt() * 3) / (1 - ALPHAS[-1]).sqrt()
    torch.testing.assert_close(result, ALPHAS[0].sqrt() * 3 + (1 - ALPHAS[0]).sqrt() * noise, atol=1e-3, rtol=1e-3)


def test_guidance_leads_away_from_the_negative():
    """At every level guidance moves the clean picture to negative + g (positive - negative)."""
    means = [
        ddim(one_picture_model([]), conditioning_of(1, 1), conditioning_of(1, 0.5), (8, 8), guidance=g, steps=10).mean()
        for g in (0, 1, 4)
    ]
    expected = torch.tensor([0.5, 1.0, 2.5])
    torch.testing.assert_close(torch.stack(means), expected * ALPHAS[0].sqrt(), atol=0.02, rtol=0)


def test_each_step_is_one_pass_with_negatives_first_from_noise_to_clean():
    seen = []
    ddim(one_picture_model(seen), conditioning_of(2, 1), conditioning_of(1, 0), (2, 2), steps=5)
    assert [rows for rows, _, _ in seen] == [4] * 5
    assert seen[0][2] == [0, 0, 1, 1]
    times = [time for _, time, _ in seen]
    assert times[0] == 999 and times == sorted(times, reverse=True) and len(set(times)) == 5


def test_a_model_that_reads_one_text_for_all_pictures_gets_each_in_a_pass_of_its_own():
    """Token ids have one dimension, and are neither joined nor repeated."""
    seen, model = [], one_picture_model([])

    def predict(latent, timestep, conditioning):
        seen.append((conditioning.context[0, 0, 0].item(), conditioning.extras["ids"].tolist(), len(latent)))
        return model.predict_noise(latent, timestep, conditioning)

    positive, negative = (Conditioning(conditioning_of(1, n).context, {"ids": torch.arange(n)}) for n in (5, 2))
    ddim(SimpleNamespace(schedule=model.schedule, predict_noise=predict), positive, negative, (2, 2), steps=1)
    assert seen == [(2.0, [0, 1], 1), (5.0, [0, 1, 2, 3, 4], 1)]
    assert positive.one_text and not conditioning_of(1, 1, extras=("pooled",)).one_text
    for twice in (positive.of_rows(2), with_rows(positive, 2)):
        assert twice.context.shape == (2, 5, 6) and twice.extras["ids"].tolist() == [0, 1, 2, 3, 4]


def test_stacking_keeps_extras_and_repeats_one_negative():
    both = stack(conditioning_of(3, 1, extras=["pooled_output"]), conditioning_of(1, 0, extras=["pooled_output"]))
    assert both.context.shape == (6, 5, 6) and both.extras["pooled_output"].shape == (6, 2)
    assert both.context[:3].eq(0).all() and both.context[3:].eq(1).all()


def test_prompts_of_unequal_lengths_are_repeated_which_changes_no_prediction(lab_backbone):
    texts = ["a cat", "a photo of a rocket on blue and " * 12]
    encoded, short = encode_each(lab_backbone, texts), lab_backbone.encode_text(texts[:1])
    assert encoded.context.shape == (2, 154, 192)
    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([500])
    repeated = Conditioning(encoded.context[:1], {key: value[:1] for key, value in encoded.extras.items()})
    with torch.no_grad():
        got, expected = (lab_backbone.predict_noise(latent, time, one) for one in (repeated, short))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
    assert torch.isfinite(ddim(lab_backbone, encoded, short, (2, 3), steps=1)).all()


def test_texts_share_a_pass_unless_the_model_cannot_bring_them_to_one_length(lab_backbone):
    texts = ["a cat", "a dog " * 60]
    ((members, shared),) = encode_for_passes(lab_backbone, texts)
    assert members == [0, 1] and shared.context.equal(encode_each(lab_backbone, texts).context)

    def encode_text(texts, placeholders=None):
        if len(texts) > 1:
            raise UnequalTextsError("texts of 2 and 60 words")
        return conditioning_of(1, len(texts[0]))

    alone = encode_for_passes(SimpleNamespace(encode_text=encode_text), texts)
    assert [(members, float(own.context[0, 0, 0])) for members, own in alone] == [([0], 5.0), ([1], 360.0)]


@pytest.mark.parametrize(
    "negative", [Conditioning(torch.zeros(1, 5, 7)), conditioning_of(1, 0, extras=["pooled_output"])]
)
def test_conditionings_that_do_not_fit_are_refused(negative):
    with pytest.raises(ValueError, match="conditionings do not fit"):
        stack(conditioning_of(1, 1), negative)


def test_same_seed_same_latent_on_the_model_and_no_gradient(lab_backbone):
    positive, negative = lab_backbone.encode_text(["a cat", "a dog"]), lab_backbone.encode_text([""])
    with torch.enable_grad():
        one, two, other = (ddim(lab_backbone, positive, negative, (2, 3), steps=2, seed=s) for s in (1, 1, 2))
    assert one.shape == (2, 4, 2, 3) and not one.requires_grad
    assert torch.equal(one, two) and not torch.allclose(one, other)
    assert not torch.allclose(one[0], one[1])


def test_with_a_seed_each_rows_do_not_depend_on_their_place():
    noise = starting_noise((2, 4, 3, 3), [7, 8])
    assert torch.equal(starting_noise((3, 4, 3, 3), [8, 7, 8])[1:], noise)
    assert not torch.equal(noise[0], noise[1])
    with pytest.raises(ValueError, match="1 seeds were given for 2"):
        starting_noise((2, 4, 3, 3), [7])
    drawn = ddim(one_picture_model([]), conditioning_of(2, 3), conditioning_of(1, 0), (4, 4), steps=2, seed=[7, 8])
    alone = ddim(one_picture_model([]), conditioning_of(1, 3), conditioning_of(1, 0), (4, 4), steps=2, seed=[8])
    torch.testing.assert_close(drawn[1:], alone)


def test_every_pass_is_reported_and_may_stop_the_run():
    seen, reported = [], []
    ddim(
        one_picture_model(seen),
        conditioning_of(1, 1),
        conditioning_of(1, 0),
        (2, 2),
        steps=4,
        on_step=lambda *at: reported.append(at),
    )
    assert reported == [(1, 4), (2, 4), (3, 4), (4, 4)] and len(seen) == 4

    def stop(step, total):
        if step == 2:
            raise InterruptedError

    seen.clear()
    with pytest.raises(InterruptedError):
        ddim(one_picture_model(seen), conditioning_of(1, 1), conditioning_of(1, 0), (2, 2), steps=4, on_step=stop)
    assert len(seen) == 2


def test_a_flow_model_is_sampled_by_the_same_steps():
    """With exact noise every step lies on the straight line, and the last one at the least noisy level."""
    sigmas = torch.linspace(0.001, 0.999, 100)
    schedule = FlowSchedule(sigmas)

    def predict(latent, timestep, conditioning):
        return (latent - (1 - sigmas[timestep].view(-1, 1, 1, 1)) * 3) / sigmas[timestep].view(-1, 1, 1, 1)

    model = SimpleNamespace(schedule=schedule, predict_noise=predict)
    result = ddim(model, conditioning_of(1, 3), conditioning_of(1, 0), (4, 6), guidance=1.0, steps=5, seed=5)
    start = starting_noise((1, 4, 4, 6), 5)
    noise = (start - (1 - sigmas[-1]) * 3) / sigmas[-1]
    torch.testing.assert_close(result, schedule.add_noise(torch.full_like(noise, 3), noise, torch.tensor([0])))


def test_one_row_serves_every_latent():
    one, three = (conditioning_of(rows, 1, extras=["pooled_output"]) for rows in (1, 3))
    assert with_rows(one, 3).context.shape == (3, 5, 6) and with_rows(three, 3).extras["pooled_output"].shape == (3, 2)
    with pytest.raises(ValueError, match="negative has 2 rows for 3 latents"):
        with_rows(conditioning_of(2, 1), 3, "negative")
