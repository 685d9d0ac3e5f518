"""Hidden states led by features: what is watched, what the loss is, and that it reaches the blocks before."""

import torch
import torch.nn.functional as F

from concept_atelier.host.headless.flux import velocity
from concept_atelier.lab.model.modules import TEXT_WIDTH, build_unet
from concept_atelier.lab.model.transformer import HEAD_WIDTH, HEADS, build_transformer
from concept_atelier.training.alignment import LED_BY, Alignment

BLOCK, (_, CHANNELS) = next(iter(LED_BY.items()))


def test_each_pair_is_watched_on_the_same_cells_and_nothing_is_watched_afterwards():
    torch.manual_seed(0)
    transformer, unet, alignment = build_transformer(), build_unet(), Alignment()
    latent, context = torch.randn(2, 4, 16, 8), torch.randn(2, 5, TEXT_WIDTH)
    with alignment.watching(transformer, unet) as (hidden, features), torch.no_grad():
        unet(latent[:1], torch.tensor([500]), context[:1])
        velocity(transformer, latent, torch.tensor([0.5, 0.5]), context)
    assert hidden.keys() == features.keys() == LED_BY.keys()
    for block, (_, channels) in LED_BY.items():
        assert hidden[block].shape == (2, 128, HEADS * HEAD_WIDTH) and features[block].shape == (1, channels, 16, 8)
    assert not any(module._forward_hooks for model in (transformer, unet) for module in model.modules())


def test_the_loss_is_zero_where_a_linear_map_gives_the_features_and_one_where_it_gives_nothing():
    alignment = Alignment({BLOCK: LED_BY[BLOCK]})
    hidden = torch.randn(3, 6, HEADS * HEAD_WIDTH, generator=torch.Generator().manual_seed(0))
    wanted = torch.randn(2, 6, CHANNELS, generator=torch.Generator().manual_seed(1))
    normal = F.layer_norm(wanted, (CHANNELS,))
    hidden[1:, :, :CHANNELS] = normal
    features = {BLOCK: (4 * wanted + 3).transpose(1, 2).reshape(2, CHANNELS, 2, 3)}  # scale and shift do not count
    taught = torch.tensor([1, 2])
    with torch.no_grad():
        alignment.maps[0].bias.zero_()
        alignment.maps[0].weight.copy_(torch.eye(CHANNELS, HEADS * HEAD_WIDTH))
        assert alignment.loss({BLOCK: hidden}, features, taught) < 1e-6
        alignment.maps[0].weight.zero_()
        assert abs(alignment.loss({BLOCK: hidden}, features, taught) - 1) < 1e-4


def test_gradients_reach_the_hidden_states_of_what_was_taught_alone():
    alignment = Alignment({BLOCK: LED_BY[BLOCK]})
    hidden = torch.randn(3, 6, HEADS * HEAD_WIDTH, requires_grad=True)
    features = {BLOCK: torch.randn(1, CHANNELS, 2, 3)}
    alignment.loss({BLOCK: hidden}, features, torch.tensor([1])).backward()
    assert hidden.grad[1].any() and not hidden.grad[[0, 2]].any() and alignment.maps[0].weight.grad.any()
