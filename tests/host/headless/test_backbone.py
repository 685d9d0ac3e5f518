import copy
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.types import LowRank
from concept_atelier.host.headless.backbone import DiffusersBackbone
from concept_atelier.host.shared import progress
from concept_atelier.host.shared.weights.weight_patches import WeightPatch

LATENT = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
CONTEXT = torch.randn(2, 77, 192, generator=torch.Generator().manual_seed(1))
TIMESTEP = torch.tensor([5, 800])


def predict(model, conditioning=None):
    with torch.no_grad():
        return DiffusersBackbone(model).predict_noise(LATENT, TIMESTEP, conditioning or Conditioning(CONTEXT))


@pytest.fixture
def patch(lab_backbone, generator):
    """A change of every key and value projection."""
    weights = {w.name: w.weight for w in lab_backbone.key_value_weights()}
    factors = {
        name: LowRank(
            0.1 * torch.randn(len(w), 2, generator=generator), torch.randn(2, w.shape[1], generator=generator)
        )
        for name, w in weights.items()
    }
    return WeightPatch(factors, 1.0)


def test_without_patches_it_is_the_bare_module(lab_modules, lab_model):
    with torch.no_grad():
        bare = lab_modules.unet(LATENT, TIMESTEP, CONTEXT).sample
    assert predict(lab_model).equal(bare)


def test_gradients_do_not_change_the_prediction(lab_model):
    learnt = CONTEXT.clone().requires_grad_()
    noise = DiffusersBackbone(lab_model).predict_noise(LATENT, TIMESTEP, Conditioning(learnt))
    assert noise.equal(predict(lab_model))
    noise.sum().backward()
    assert learnt.grad.abs().sum() > 0


def test_a_patch_equals_the_changed_weights(lab_modules, lab_model, patch):
    changed = copy.deepcopy(lab_modules.unet)
    with torch.no_grad():
        for name, factor in patch.factors.items():
            changed.get_parameter(name).add_(0.7 * factor.dense())
    got = predict(lab_model.with_patch(replace(patch, strength=0.7)))
    torch.testing.assert_close(got, predict(replace(lab_model, unet=changed)))
    assert not torch.allclose(got, predict(lab_model))


def test_patches_never_change_the_model(lab_modules, lab_model, patch):
    before = {name: tensor.clone() for name, tensor in lab_modules.unet.state_dict().items()}
    patched = lab_model.with_patch(patch)
    predict(patched)
    assert lab_model.patches == () and patched.unet is lab_modules.unet
    assert all(tensor.equal(before[name]) for name, tensor in lab_modules.unet.state_dict().items())


def test_strength_zero_is_the_model_and_opposite_strengths_cancel(lab_model, patch):
    assert predict(lab_model.with_patch(replace(patch, strength=0.0))).equal(predict(lab_model))
    both = lab_model.with_patch(patch).with_patch(replace(patch, strength=-1.0))
    torch.testing.assert_close(predict(both), predict(lab_model), rtol=1e-4, atol=1e-5)


def test_key_value_weights_are_those_in_force_and_linear_in_strength(lab_model, patch):
    def weights(*strengths):
        model = lab_model
        for strength in strengths:
            model = model.with_patch(replace(patch, strength=strength))
        return DiffusersBackbone(model).key_value_weights()

    bare, one, three = weights(), weights(1.0), weights(1.0, 2.0)
    assert [w.role for w in bare] == ["key", "value"] * 10
    assert [w.name for w in bare][0] == "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    for w0, w1, w3 in zip(bare, one, three, strict=True):
        assert not w0.weight.requires_grad
        torch.testing.assert_close(w3.weight - w0.weight, 3 * (w1.weight - w0.weight), rtol=1e-3, atol=1e-5)


def test_a_tap_sees_the_patched_keys(lab_model, patch):
    keys = []
    for model in (lab_model, lab_model.with_patch(patch)):
        backbone = DiffusersBackbone(model)
        site = next(site for site in backbone.attention_sites() if site.kind == "cross")
        with torch.no_grad(), backbone.tap_attention(lambda call: keys.append(call.key), [site]):
            backbone.predict_noise(LATENT, TIMESTEP, Conditioning(CONTEXT))
    assert not torch.allclose(keys[0], keys[1])


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_other_predictions_are_converted_to_noise(lab_modules, lab_model, kind):
    with torch.no_grad():
        output = lab_modules.unet(LATENT, TIMESTEP, CONTEXT).sample
    a = lab_model.alphas_cumprod[TIMESTEP].float().view(2, 1, 1, 1)
    velocity = a.sqrt() * output + (1 - a).sqrt() * LATENT
    from_clean = (LATENT - a.sqrt() * output) / (1 - a).sqrt()
    expected = velocity if kind == "v_prediction" else from_clean
    torch.testing.assert_close(predict(replace(lab_model, prediction_type=kind)), expected, rtol=1e-4, atol=1e-4)


def test_weights_loaded_under_inference_mode_can_be_learnt_through(lab_modules, lab_model):
    with torch.inference_mode():
        frozen = copy.deepcopy(lab_modules.unet)
    learnt = CONTEXT.clone().requires_grad_()
    backbone = DiffusersBackbone(replace(lab_model, unet=frozen))
    backbone.predict_noise(LATENT, TIMESTEP, Conditioning(learnt)).sum().backward()
    assert learnt.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(1, 1), (3, 11)])
def test_any_latent_size_runs(lab_backbone, size):
    with torch.no_grad():
        noise = lab_backbone.predict_noise(torch.ones(1, 4, *size), torch.tensor([3]), Conditioning(CONTEXT[:1]))
    assert noise.shape == (1, 4, *size)


def test_rows_must_match(lab_backbone):
    with pytest.raises(ValueError, match="same number of rows"):
        lab_backbone.predict_noise(LATENT, TIMESTEP, Conditioning(CONTEXT[:1]))


def test_pictures_are_cropped_at_the_centre_and_encoded_to_the_mean(lab_modules, lab_backbone, generator):
    image = torch.rand(1, 3, 67, 99, generator=generator)
    with torch.no_grad():
        expected = lab_modules.vae.encode(image[..., 1:65, 1:97] * 2 - 1) * 0.18215
    latent = lab_backbone.encode_image(image)
    assert latent.shape == (1, 4, 8, 12)
    assert latent.equal(expected) and latent.equal(lab_backbone.encode_image(image))


def test_decoded_pictures_lie_in_range(lab_modules, lab_backbone, generator):
    latent = 50 * torch.randn(1, 4, 2, 3, generator=generator)
    with torch.no_grad():
        raw = lab_modules.vae.decode(latent / 0.18215)
    picture = lab_backbone.decode_latent(latent)
    assert picture.shape == (1, 3, 16, 24)
    assert raw.abs().max() > 1 and picture.min() == 0 and picture.max() == 1
    torch.testing.assert_close(picture, ((raw + 1) / 2).clamp(0, 1))


@pytest.mark.parametrize(
    "image",
    [torch.rand(1, 3, 1, 1), torch.rand(1, 3, 7, 64), torch.rand(1, 4, 16, 16), torch.full((1, 3, 16, 16), torch.nan)],
)
def test_pictures_that_cannot_be_encoded_are_refused(lab_backbone, image):
    with pytest.raises(ValueError, match="picture"):
        lab_backbone.encode_image(image)


def test_a_very_long_picture_is_encoded(lab_backbone):
    assert lab_backbone.encode_image(torch.rand(1, 3, 20, 5000)).shape == (1, 4, 2, 625)


def test_a_missing_part_is_named(lab_model, lab_clip):
    with pytest.raises(ValueError, match="needs a VAE"):
        DiffusersBackbone(lab_model).encode_image(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="needs a CLIP"):
        DiffusersBackbone(lab_model).encode_text(["a"])
    with pytest.raises(ValueError, match="needs a MODEL"):
        DiffusersBackbone(clip=lab_clip).alphas_cumprod.sum()
    assert DiffusersBackbone(clip=lab_clip).family == "lab"


@pytest.mark.parametrize("latent", [(1, 16, 8, 8), (1, 4, 3, 8, 8), (0, 4, 8, 8)])
def test_latents_of_another_model_are_refused_by_name(lab_backbone, latent):
    with pytest.raises(ValueError, match=r"this VAE reads \(pictures, 4, h, w\)"):
        lab_backbone.decode_latent(torch.zeros(latent))


def test_parts_of_two_families_are_refused(lab_model, lab_clip):
    with pytest.raises(ValueError, match="MODEL belongs to sdxl and CLIP to lab"):
        DiffusersBackbone(replace(lab_model, family="sdxl"), lab_clip)


@pytest.mark.parametrize("values", [torch.full((1, 3, 64, 64), 255.0), torch.full((1, 3, 64, 64), -1.0)])
def test_pictures_out_of_range_are_refused(lab_backbone, values):
    with pytest.raises(ValueError, match=r"the picture's values go from .*, expected 0..1"):
        lab_backbone.encode_image(values)


def test_every_pass_of_a_model_asks_whether_to_stop(lab_backbone):
    encoded = lab_backbone.encode_text([""])
    passes = [
        lambda: lab_backbone.encode_text(["a"]),
        lambda: lab_backbone.encode_image(torch.zeros(1, 3, 64, 64)),
        lambda: lab_backbone.decode_latent(torch.zeros(1, 4, 8, 8)),
        lambda: lab_backbone.predict_noise(torch.zeros(1, 4, 8, 8), torch.tensor([5]), encoded),
    ]
    with progress.use(progress.Session(stop=True)):
        for one in passes:
            with pytest.raises(progress.InterruptedRun):
                one()


def test_tokens_whose_encoding_is_not_finite_are_refused_by_name(lab_backbone):
    huge = {"<pet>": {"clip_l": torch.full((1, 192), 3.4e38)}}
    with torch.no_grad(), pytest.raises(ValueError, match="'a <pet>': the vectors of <pet> are far too large"):
        lab_backbone.encode_text(["a cat", "a <pet>"], huge)


def test_a_pass_is_left_between_blocks_when_the_run_is_cancelled(lab_backbone, lab_modules):
    encoded = lab_backbone.encode_text([""])
    hooks = sum(len(part._forward_pre_hooks) for part in lab_modules.unet.modules())
    with progress.use(progress.Session()) as session:
        late = lab_modules.unet.mid_block.register_forward_hook(lambda *_: setattr(session, "stop", True))
        try:
            with pytest.raises(progress.InterruptedRun):
                lab_backbone.predict_noise(torch.zeros(1, 4, 8, 8), torch.tensor([5]), encoded)
        finally:
            late.remove()
    assert sum(len(part._forward_pre_hooks) for part in lab_modules.unet.modules()) == hooks
