"""SDXL's anatomy in miniature: two text towers, pooled text and sizes, deeper transformers, no attention at the top."""

import pytest
import torch

from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.schedule import scaled_linear_alphas
from concept_atelier.host.headless.backbone import DiffusersBackbone
from concept_atelier.host.headless.sampling import sample
from concept_atelier.host.shared.conditioning import to_comfy
from concept_atelier.host.shared.handles import Capture, ClipHandle, ModelHandle, TextEncoder


@pytest.fixture(scope="module")
def towers(lab_modules):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    def config(width):
        tokenizer = lab_modules.tokenizer
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=width,
            num_hidden_layers=3,
            num_attention_heads=2,
            projection_dim=24,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CLIPTextModel(config(16)).eval(), CLIPTextModelWithProjection(config(32)).eval()


@pytest.fixture(scope="module")
def clip(lab_modules, towers):
    encoders = [TextEncoder(lab_modules.tokenizer, tower, layer=-2, normalise=False) for tower in towers]
    return ClipHandle(dict(zip(("clip_l", "clip_g"), encoders, strict=True)), "sdxl")


@pytest.fixture(scope="module")
def model():
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            attention_head_dim=(2, 4),
            cross_attention_dim=48,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=24 + 6 * 8,
        )
    return ModelHandle(unet.eval(), scaled_linear_alphas(), "sdxl")


def test_contexts_are_joined_and_the_last_tower_is_pooled(lab_modules, towers, clip):
    ids = lab_modules.tokenizer("a cat", padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        got = DiffusersBackbone(clip=clip).encode_text(["a cat"])
        outputs = [tower(ids, output_hidden_states=True) for tower in towers]
    expected = torch.cat([output.hidden_states[-2] for output in outputs], -1)
    assert got.context.equal(expected) and got.context.shape == (1, 77, 48)
    assert got.extras["pooled_output"].equal(outputs[1].text_embeds)


def test_learnt_tokens_have_vectors_for_both_towers(clip):
    backbone = DiffusersBackbone(clip=clip)
    vectors = backbone.word_vectors("cat")
    assert {name: rows.shape[1] for name, rows in vectors.items()} == {"clip_l": 16, "clip_g": 32}
    with torch.no_grad():
        learnt = backbone.encode_text(["a <c>"], {"<c>": vectors})
        assert learnt.context.equal(backbone.encode_text(["a cat"]).context)
    with pytest.raises(ValueError, match="needs clip_g"):
        backbone.encode_text(["<c>"], {"<c>": {"clip_l": vectors["clip_l"]}})


def test_both_towers_may_stop_at_the_last_position_that_is_read(clip):
    backbone = DiffusersBackbone(clip=clip)
    learnt = {"<c>": {"clip_l": torch.full((2, 16), 0.1), "clip_g": torch.full((2, 32), 0.1)}}
    texts = ["a <c>", "a (very:1.4) long walk with a dog"]
    with torch.no_grad():
        whole = backbone.encode_text(texts, learnt).context
    got = backbone.encode_beginnings(texts, 4, learnt)
    torch.testing.assert_close(got, whole[:, :4], atol=1e-5, rtol=1e-5)


def test_sizes_default_to_the_whole_picture(model, clip):
    backbone = DiffusersBackbone(model, clip)
    latent = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoded = backbone.encode_text(["a cat"])
        sizes = torch.tensor([[48, 64, 0, 0, 48, 64]])
        expected = model.unet(
            latent,
            5,
            encoded.context,
            added_cond_kwargs={"text_embeds": encoded.extras["pooled_output"], "time_ids": sizes},
        ).sample
        assert backbone.predict_noise(latent, torch.tensor([5]), encoded).equal(expected)


def test_it_samples_and_records(model, clip):
    backbone = DiffusersBackbone(model, clip)
    sites = backbone.attention_sites()
    assert {site.downscale for site in sites} == {2} and len(sites) == 2 * (2 + 2 + 4)
    recorder = AttentionRecorder()
    with torch.no_grad():
        texts = [to_comfy(backbone.encode_text([text])) for text in ("a cat", "")]
    latent = {"samples": torch.zeros(1, 4, 6, 8)}
    result = sample(model.with_capture(Capture.into(recorder)), *texts, latent, seed=0, steps=2)
    assert result["samples"].shape == (1, 4, 6, 8)
    assert list(recorder.maps().cross) == [(3, 4)]


def test_missing_pooled_text_is_named(model):
    from concept_atelier.core.backbone import Conditioning

    with torch.no_grad(), pytest.raises(ValueError, match="sdxl needs the pooled text"):
        DiffusersBackbone(model).predict_noise(
            torch.zeros(1, 4, 4, 4), torch.tensor([1]), Conditioning(torch.zeros(1, 77, 48))
        )
