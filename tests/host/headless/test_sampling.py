from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.attention.selection import Selection
from concept_atelier.core.types import LowRank
from concept_atelier.host.headless import sampling
from concept_atelier.host.headless.sampling import sample
from concept_atelier.host.shared.conditioning import to_comfy
from concept_atelier.host.shared.handles import Capture
from concept_atelier.host.shared.weights.weight_patches import WeightPatch

EMPTY = {"samples": torch.zeros(2, 4, 6, 8)}


@pytest.fixture(scope="module")
def texts(lab_backbone):
    with torch.no_grad():
        return [to_comfy(lab_backbone.encode_text([text])) for text in ("a cat on blue", "")]


@pytest.fixture
def draw(lab_model, texts):
    def run(model=lab_model, latent=EMPTY, **settings):
        return sample(model, *texts, latent, **{"seed": 7, "steps": 3, "cfg": 4.0} | settings)["samples"]

    return run


def hook_count(module):
    return sum(len(part._forward_hooks) for part in module.modules())


def test_the_same_seed_gives_the_same_picture(draw):
    state = torch.random.get_rng_state()
    first = draw(sampler_name="euler_ancestral")
    assert first.equal(draw(sampler_name="euler_ancestral"))
    assert not first.equal(draw(sampler_name="euler_ancestral", seed=8))
    assert torch.random.get_rng_state().equal(state)


def test_a_run_equals_the_formulas_written_out(lab_model, lab_modules, texts, draw):
    """Two Euler steps with guidance, from the variance-preserving definitions."""
    alphas = lab_model.alphas_cumprod
    x = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(7))  # of unit variance at the noisiest level
    for timestep, following in ((999, 499), (499, None)):
        a = alphas[timestep].float()
        contexts = [text[0][0].expand(2, -1, -1) for text in texts]
        with torch.no_grad():
            conditional, untold = (lab_modules.unet(x, timestep, context).sample for context in contexts)
        noise = untold + 4 * (conditional - untold)
        clean = (x - (1 - a).sqrt() * noise) / a.sqrt()
        after = torch.tensor(1.0) if following is None else alphas[following].float()
        x = after.sqrt() * clean + (1 - after).sqrt() * noise  # deterministic DDIM
    got = draw(steps=2, scheduler="simple", sampler_name="ddim")
    torch.testing.assert_close(got, x / 0.18215, rtol=1e-3, atol=0.05)


def test_the_picture_is_bit_identical_while_attention_is_recorded(lab_model, texts, draw):
    recorder = AttentionRecorder(Selection(max_side=8))
    listened = lab_model.with_capture(Capture.into(recorder))
    assert draw(listened).equal(draw())
    maps = recorder.maps()
    assert maps.cross[(6, 8)].shape == (2, 77, 6, 8)  # the conditional half only
    assert maps.cross_counts[(6, 8)] == 3 * maps.cross_layers[(6, 8)]
    maps.check_text(texts[0][0][0])
    with pytest.raises(ValueError, match="not the text that was sampled"):
        maps.check_text(texts[1][0][0])


def test_the_maps_are_those_of_the_positive_prompt(lab_model, draw):
    """On the first step guidance has not moved the latent yet, so a run without it sees the same attention."""
    maps = []
    for cfg in (1.0, 4.0):
        recorder = AttentionRecorder(Selection(kinds=("cross",)))
        draw(lab_model.with_capture(Capture.into(recorder)), cfg=cfg, steps=1)
        maps.append(recorder.maps().cross[(6, 8)])
    torch.testing.assert_close(maps[0], maps[1])


def test_ancestral_noise_is_not_the_starting_noise_again(draw, monkeypatch):
    seeds = []

    def spy(denoise, x, levels, generator, report):
        seeds.append(generator.initial_seed())
        return x

    monkeypatch.setitem(sampling.SAMPLERS, "euler", spy)
    draw(seed=7)
    draw(seed=2**64 - 1)
    assert seeds == [8, 0]


def test_every_run_starts_its_captures_afresh(lab_model, draw):
    recorder = AttentionRecorder(Selection(kinds=("cross",)))
    listened = lab_model.with_capture(Capture.into(recorder))
    draw(listened, cfg=1.0)
    counts = recorder.maps().cross_counts
    draw(listened, seed=8)
    assert recorder.maps().cross_counts == counts


def test_captures_may_name_their_sites(lab_model, lab_backbone, draw):
    site = lab_backbone.attention_sites()[1]
    seen = []
    draw(lab_model.with_capture(Capture(lambda call: seen.append(call.site), (site.name,), lambda conditioning: None)))
    assert seen == [site] * 3


def test_an_exception_mid_run_restores_the_model(lab_model, lab_modules, draw):
    before = hook_count(lab_modules.unet)

    def stop(step, total):
        raise KeyboardInterrupt

    listened = lab_model.with_capture(Capture.into(AttentionRecorder()))
    with pytest.raises(KeyboardInterrupt):
        draw(listened, progress=stop)
    assert hook_count(lab_modules.unet) == before
    assert draw().equal(draw(listened))


def test_longer_prompts_are_padded_without_changing_picture_or_maps(lab_model, texts):
    """A context that is its own copy twice over says the same; the maps keep the positive text's length."""
    positive, negative = texts
    twice = [[negative[0][0].repeat(1, 2, 1), {}]]
    pictures, maps = [], []
    for other in (negative, twice):
        recorder = AttentionRecorder(Selection(kinds=("cross",)))
        model = lab_model.with_capture(Capture.into(recorder))
        pictures.append(sample(model, positive, other, EMPTY, seed=7, steps=2, cfg=4.0)["samples"])
        maps.append(recorder.maps().cross[(6, 8)])
    torch.testing.assert_close(pictures[0], pictures[1], rtol=1e-3, atol=0.02)
    assert maps[1].shape == (2, 77, 6, 8)
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-3, atol=1e-5)


def test_patches_change_the_picture(lab_model, lab_backbone, draw):
    name = lab_backbone.key_value_weights()[1].name
    patch = WeightPatch({name: LowRank(torch.ones(64, 1), torch.ones(1, 192))})
    assert not draw(lab_model.with_patch(patch)).equal(draw())
    assert draw(lab_model.with_patch(replace(patch, strength=0.0))).equal(draw())


def test_denoise_zero_returns_the_latent_and_little_stays_near_it(draw, generator):
    latent = {"samples": torch.randn(1, 4, 6, 8, generator=generator)}
    assert draw(latent=latent, denoise=0.0).equal(latent["samples"])
    distance = [(draw(latent=latent, denoise=d, cfg=1.0) - latent["samples"]).abs().mean() for d in (0.05, 0.9)]
    assert distance[0] < distance[1]


def test_guidance_of_one_ignores_the_negative_prompt(lab_model, texts):
    positive, negative = texts
    settings = {"seed": 1, "steps": 1, "cfg": 1.0}
    plain = sample(lab_model, positive, negative, EMPTY, **settings)["samples"]
    assert plain.equal(sample(lab_model, positive, positive, EMPTY, **settings)["samples"])


def test_a_latents_other_entries_are_kept_and_nothing_is_written_to(lab_model, texts):
    latent = {"samples": torch.zeros(1, 4, 2, 2), "batch_index": [1]}
    result = sample(lab_model, *texts, latent, seed=1, steps=1)
    assert result["batch_index"] == [1] and latent["samples"].eq(0).all()


def test_progress_counts_the_steps(draw):
    seen = []
    draw(steps=2, progress=lambda step, total: seen.append((step, total)))
    assert seen == [(1, 2), (2, 2)]


def test_interruption_is_asked_for_at_every_step(draw):
    from concept_atelier.host.shared.progress import InterruptedRun, Session, use

    session = Session()
    seen = []

    def stop_after_the_first(step, total):
        seen.append(step)
        session.stop = True

    with use(session), pytest.raises(InterruptedRun):
        draw(progress=stop_after_the_first)
    assert seen == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler_name": "heun"}, "euler, euler_ancestral, ddim"),
        ({"scheduler": "beta"}, "normal, simple, karras"),
        ({"seed": -1}, "seeds"),
        ({"latent": {"samples": torch.full((1, 4, 2, 2), torch.nan)}}, "not finite"),
        ({"latent": {"samples": torch.zeros(1, 16, 2, 2)}}, "needs"),
        ({"latent": {**EMPTY, "noise_mask": torch.ones(1, 1, 6, 8)}}, "inpaint"),
    ],
)
def test_what_cannot_be_sampled_is_refused(draw, settings, message):
    with pytest.raises(ValueError, match=message):
        draw(**settings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"positive": [[torch.zeros(1, 77, 2048), {}]]}, "positive is 2048 wide and this lab model reads 192"),
        ({"negative": [[torch.zeros(1, 77, 768), {}]]}, "negative is 768 wide"),
        ({"positive": [[torch.full((1, 77, 192), torch.nan), {}]]}, "positive holds NaN"),
        ({"latent": {"samples": torch.zeros(1, 4, 3, 8, 8)}}, r"this model needs \(B, 4, h, w\)"),
        ({"latent": {"samples": torch.zeros(1, 16, 8, 8)}}, r"this model needs \(B, 4, h, w\)"),
        ({"latent": {"samples": torch.zeros(1, 4, 8, 8), "batch_index": [-1]}}, "batch_index is"),
        ({"latent": {"samples": torch.zeros(1, 4, 8, 8), "batch_index": [10**9]}}, "batch_index is"),
        ({"latent": {"samples": torch.zeros(1, 4, 8, 8), "batch_index": [0, 1]}}, "for each of 1 latents"),
    ],
)
def test_what_belongs_to_another_model_is_refused_by_name(lab_model, change, said):
    given = {"positive": [[torch.zeros(1, 77, 192), {}]], "latent": {"samples": torch.zeros(1, 4, 8, 8)}}
    given |= {"negative": given["positive"], **change}
    with pytest.raises(ValueError, match=said):
        sample(lab_model, **given, seed=0, steps=1, cfg=2.0)
