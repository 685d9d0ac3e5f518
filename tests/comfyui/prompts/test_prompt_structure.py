"""The structure of prompts inside ComfyUI: phrases, for every kind of text encoder."""

import pytest
import torch

TEXT = "a photo of a red cat, and a dog with a hat"
PHRASES = ["a photo", "of a red cat", "and a dog", "with a hat"]


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_phrases_are_weighted_as_the_stock_node_weights_them(run, stock, parts_of, family):
    clip = parts_of(family)["clip"]
    found = run("ChunkPrompt", clip=clip, text=TEXT, share=0, weights="hat: 1.4")
    assert found[2].split("\n") == PHRASES
    again = stock("CLIPTextEncode", clip=clip, text=found[1])[0]
    assert torch.equal(found[0][0][0], again[0][0])
    assert torch.equal(found[0][0][1]["pooled_output"], again[0][1]["pooled_output"])
    long = run("ChunkPrompt", clip=clip, text=TEXT, share=0, line_tokens=10)
    assert long[0][0][0].shape[1] == 2 * 77 and long[1].count("\n") == 1


@pytest.mark.parametrize("family", ["flux", "z_image", "qwen_image", "sd3"])
def test_encoders_of_any_length_are_given_one_line(run, stock, clip_of, family):
    found = run("ChunkPrompt", clip=clip_of(family), text=TEXT, share=0, line_tokens=8)
    assert found[2].split("\n") == PHRASES and found[1] == TEXT
    assert torch.equal(found[0][0][0], stock("CLIPTextEncode", clip=clip_of(family), text=TEXT)[0][0][0])


def test_an_encoder_whose_rows_are_not_its_words_is_refused(run, clip_of):
    with pytest.raises(ValueError, match="gives no row for each word"):
        run("ChunkPrompt", clip=clip_of("anima"), text=TEXT)


@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_sentences_are_sampled_in_their_ranges(run, stock, parts_of, family):
    parts = parts_of(family)
    empty = stock("CLIPTextEncode", clip=parts["clip"], text="")[0]
    latent = {"samples": torch.zeros(1, 4, 16, 16)}

    def drawn(positive):
        given = {"seed": 3, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        wires = {"model": parts["model"], "positive": positive, "negative": empty, "latent_image": latent}
        return stock("KSampler", **wires, **given)[0]["samples"]

    plain = drawn(stock("CLIPTextEncode", clip=parts["clip"], text="a red cat")[0])
    given = {"clip": parts["clip"], "ranges": "0 - 0.4\n0.4 - 1"}
    same = drawn(run("SentenceConcepts", **given, text="a red cat. a red cat")[0])
    assert torch.equal(same, plain)
    assert not torch.equal(drawn(run("SentenceConcepts", **given, text="a red cat. a dog")[0]), plain)


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_sentences_are_blended_between_what_the_stock_node_makes_of_each(run, stock, parts_of, family):
    clip = parts_of(family)["clip"]
    plain = stock("CLIPTextEncode", clip=clip, text="a dog")[0]
    given = {"clip": clip, "text": "a red cat. a dog", "combine": "blend"}
    one, half = (run("SentenceConcepts", **given, shares=shares)[0] for shares in ("0, 1", "1, 1"))
    torch.testing.assert_close(one[0][0].float(), plain[0][0].float(), rtol=1e-3, atol=1e-3)
    assert half[0][0].shape == plain[0][0].shape and not torch.allclose(half[0][0], one[0][0], atol=1e-3)
    assert run("SentenceConcepts", clip=clip, text="a red cat. a red cat on a hill")[1].split("\n")[1].count("yes") == 1


@pytest.mark.parametrize("family", ["flux", "z_image", "sd3"])
def test_sentences_are_compared_by_every_encoder(run, clip_of, family):
    _, table, report = run("SentenceConcepts", clip=clip_of(family), text="a red cat. a blue cat. a cat")
    assert table.count("\n") == 4 and "red or blue" in report


def test_headless_and_comfyui_hold_ranges_alike(run, stock, parts_of, pack):
    levels = pack("host.headless.spans").levels_of
    timed = pack("host.shared.timed_conditioning").Timed
    patcher = parts_of("lab")["model"]
    sampling = patcher.get_model_object("model_sampling")
    table = sampling.sigmas.double().cpu()
    for share in (0.1, 0.25, 0.5, 0.9):
        (held,) = levels([timed(None, share, 1.0)], table, False)
        assert held.most == pytest.approx(float(sampling.percent_to_sigma(share)), rel=1e-4)


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_a_dial_acts_on_the_positive_prompt_and_0_on_nothing(run, stock, parts_of, image, family):
    parts = parts_of(family)
    model, clip, text = parts["model"], parts["clip"], "a red cat and a dog"
    empty = stock("CLIPTextEncode", clip=clip, text="")[0]
    latent = {"samples": torch.zeros(1, 4, 16, 16)}

    def drawn(model, positive):
        given = {"seed": 3, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        wires = {"model": model, "positive": positive, "negative": empty, "latent_image": latent}
        return stock("KSampler", **wires, **given)[0]["samples"]

    plain = drawn(model, stock("CLIPTextEncode", clip=clip, text=text)[0])
    given = {"model": model, "clip": clip, "text": text, "words": "a red cat\na dog"}
    local, positive, _ = run("AttentionLocality", **given)
    assert not torch.equal(drawn(local, positive), plain)
    assert torch.equal(drawn(*run("AttentionLocality", **given, dial=0.0)[:2]), plain)
    assert torch.equal(drawn(model, positive), plain)
    assert run("AttentionLocality", **given, image=image, vae=parts["vae"])[2].count("\n") == 3


@pytest.mark.parametrize("family", ["flux", "z_image", "qwen_image", "sd3"])
def test_a_transformer_follows_the_dial_and_0_changes_nothing(run, stock, model_of, clip_of, small, family):
    model, clip, text = model_of(family), clip_of(family), "a red cat and a dog"

    def drawn(model, positive):
        given = {"seed": 3, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        latent = {"samples": small.latent(family, (8, 12), 2)}
        wires = {"model": model, "positive": positive, "negative": positive, "latent_image": latent}
        return stock("KSampler", **wires, **given)[0]["samples"]

    plain = drawn(model, stock("CLIPTextEncode", clip=clip, text=text)[0])
    given = {"model": model, "clip": clip, "text": text, "words": "a red cat\na dog"}
    local, positive, _ = run("AttentionLocality", **given)
    changed = drawn(local, positive)
    assert bool(torch.isfinite(changed).all()) and not torch.allclose(changed, plain, rtol=1e-4, atol=1e-4)
    assert torch.equal(drawn(*run("AttentionLocality", **given, dial=0.0)[:2]), plain)
    assert torch.equal(drawn(model, positive), plain)


def test_a_clip_with_scheduled_hooks_is_refused(run, parts_of, comfyui):
    """It encodes every prompt once for each span of the schedule."""
    from comfy import hooks

    clip = parts_of("sd15")["clip"].clone()
    hook, frames = hooks.WeightHook(), hooks.HookKeyframeGroup()
    for strength, start in ((0.0, 0.0), (1.0, 0.5)):
        frames.add(hooks.HookKeyframe(strength=strength, start_percent=start))
    hook.hook_keyframe = frames
    group = hooks.HookGroup()
    group.add(hook)
    clip.apply_hooks_to_conds, clip.use_clip_schedule = group, True
    clip.patcher.forced_hooks = group
    for combine in ("schedule", "blend"):
        with pytest.raises(ValueError, match="scheduled hooks, which make 2 entries of one prompt"):
            run("SentenceConcepts", clip=clip, text="a red cat. a dog", combine=combine)
