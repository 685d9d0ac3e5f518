import pytest
import torch

from concept_atelier.core.learn.parts.losses import attention_alignment, masked_denoising


def test_masked_denoising_is_the_mean_over_all_elements():
    noise, predicted = torch.zeros(2, 4, 6, 8), torch.full((2, 4, 6, 8), 2.0)
    masks = torch.zeros(2, 6, 8)
    masks[0, :3] = 1
    masks[1, 0, 0] = 0.5
    torch.testing.assert_close(masked_denoising(noise, predicted, masks), torch.tensor([2.0, 1 / 48]))


def test_masked_denoising_ignores_what_lies_outside(generator):
    noise = torch.randn(1, 4, 6, 8, generator=generator)
    predicted = torch.randn(1, 4, 6, 8, generator=generator)
    masks = torch.zeros(1, 6, 8)
    masks[:, 2:4, 1:5] = 1
    elsewhere = predicted + 100 * (1 - masks)
    assert torch.equal(masked_denoising(noise, predicted, masks), masked_denoising(noise, elsewhere, masks))
    inside = predicted + 0.1 * masks
    assert not torch.equal(masked_denoising(noise, predicted, masks), masked_denoising(noise, inside, masks))


@pytest.mark.parametrize("kind", ["transport", "divergence", "mse"])
def test_alignment_ignores_scale_and_prefers_the_right_place(kind):
    target = torch.zeros(1, 6, 10)
    target[0, 2:4, 6:9] = 1
    near, far = target.roll(1, 2) + 1e-3, target.roll(-5, 2) + 1e-3
    right = target + 1e-3
    loss = torch.cat([attention_alignment(maps, target, kind) for maps in (right, near, far, 7 * far)])
    assert loss[0] < loss[1] < loss[2]
    torch.testing.assert_close(loss[2], loss[3])


def test_blurred_transport_prefers_too_sharp_a_map_and_the_divergence_does_not():
    target = torch.zeros(1, 8, 8)
    target[0, 2:6, 2:6] = 1
    sharper = torch.zeros(1, 8, 8)
    sharper[0, 3:5, 3:5] = 1
    plain = [attention_alignment(maps, target, "transport", regularisation=0.2) for maps in (sharper, target)]
    unbiased = [attention_alignment(maps, target, "divergence", regularisation=0.2) for maps in (sharper, target)]
    assert plain[0] < plain[1]
    assert unbiased[1] < 1e-9 < unbiased[0]


def test_gradients_reach_the_maps_and_not_the_targets(generator):
    maps = torch.rand(2, 4, 6, generator=generator).requires_grad_()
    targets = torch.rand(2, 4, 6, generator=generator).requires_grad_()
    for kind in ("transport", "divergence", "mse"):
        slope, none = torch.autograd.grad(
            attention_alignment(maps, targets, kind).sum(), [maps, targets], allow_unused=True
        )
        assert slope.abs().sum() > 0 and none is None


def test_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match="expected transport, divergence or mse"):
        attention_alignment(torch.ones(1, 2, 2), torch.ones(1, 2, 2), "iou")
