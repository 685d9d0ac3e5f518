import pytest
import torch

from concept_atelier.bench.cost.meters import memory_of
from concept_atelier.core.attention.probabilities import conditional_mean, head_mean
from concept_atelier.core.backbone import AttentionCall, AttentionSite

SITE = AttentionSite("a", "cross", "down", heads=3, downscale=1)


@pytest.fixture
def query_key(generator):
    return torch.randn(2, 3, 6, 4, generator=generator), torch.randn(2, 3, 5, 4, generator=generator)


def dense(query, key, scale):
    return torch.softmax(torch.einsum("bhnd,bhmd->bhnm", query, key) * scale, -1).mean(1)


def test_it_is_the_mean_softmax_over_heads(query_key):
    mean = head_mean(*query_key, scale=0.5)
    assert mean.shape == (2, 6, 5)
    torch.testing.assert_close(mean, dense(*query_key, 0.5))
    torch.testing.assert_close(mean.sum(-1), torch.ones(2, 6))


@pytest.mark.parametrize("chunk", [1, 2 * 3 * 5 * 4, 2 * 3 * 5 * 6])
def test_chunks_do_not_change_it(query_key, chunk):
    torch.testing.assert_close(head_mean(*query_key, scale=0.5, chunk=chunk), dense(*query_key, 0.5))


def test_half_precision_is_computed_in_float32(query_key):
    query, key = (tensor.half() for tensor in query_key)
    mean = head_mean(query, key, 0.5)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, dense(query.float(), key.float(), 0.5))


def test_gradients_reach_query_and_key(query_key):
    query, key = (tensor.requires_grad_() for tensor in query_key)
    ours = torch.autograd.grad(head_mean(query, key, 0.5, chunk=1)[..., 0].sum(), (query, key))
    torch.testing.assert_close(ours, torch.autograd.grad(dense(query, key, 0.5)[..., 0].sum(), (query, key)))


def test_no_more_than_one_block_waits_for_the_backward_pass(generator):
    """A column of attention of four heads and 512 x 512 positions: the whole softmax takes 4 MB, and a block 1/16."""
    query, key = (torch.randn(1, 4, 512, 8, generator=generator).requires_grad_() for _ in range(2))

    def learn():
        return torch.autograd.grad(head_mean(query, key, 0.5, 2**16, columns=slice(3, 4)).sum(), (query, key))

    block, inputs = 4 * 2**16, 4 * query.numel()  # bytes
    assert memory_of(learn).peak < 6 * block + 8 * inputs < 4 * 512 * 512 * 4


def test_beside_the_result_little_more_than_one_block_is_held(generator):
    query, key = (torch.randn(1, 4, 512, 8, generator=generator) for _ in range(2))
    block, result = 4 * 2**16, 4 * 512 * 512  # bytes
    found = memory_of(lambda: head_mean(query, key, 0.5, chunk=2**16))
    assert found.peak < result + 3 * block


def test_only_conditional_rows_are_kept(query_key):
    query, key = query_key
    call = AttentionCall(SITE, query, key, 0.5, (2, 3), (False, True))
    torch.testing.assert_close(conditional_mean(call), dense(query, key, 0.5)[1:])


def test_columns_are_read_from_the_softmax_over_all_keys(query_key):
    whole = dense(*query_key, 0.5)
    for chunk in (1, 2**21):
        part = head_mean(*query_key, 0.5, chunk, columns=slice(1, 3))
        torch.testing.assert_close(part, whole[..., 1:3])


@pytest.mark.parametrize("shape", [(1, 1, 1, 5), (2, 3, 6, 5), (2, 1, 1, 5), (6, 5)])
def test_a_bias_is_added_to_the_logits(query_key, generator, shape):
    query, key = query_key
    bias = torch.randn(shape, generator=generator)
    logits = torch.einsum("bhnd,bhmd->bhnm", query, key) * 0.5 + bias
    torch.testing.assert_close(head_mean(query, key, 0.5, 40, bias=bias), logits.softmax(-1).mean(1))


def test_keys_that_are_not_read_get_nothing(query_key):
    bias = torch.tensor([0.0, -torch.inf, 0.0, 0.0, 0.0]).expand(2, 1, 1, 5).clone()
    bias[1, ..., 1] = 0.0  # of the first row alone
    call = AttentionCall(SITE, *query_key, 0.5, (2, 3), (True, False), columns=slice(0, 2), bias=bias)
    mean = conditional_mean(call)
    assert mean.shape == (1, 6, 2) and (mean[..., 1] == 0).all() and (mean[..., 0] > 0).all()


def test_two_views_of_a_joint_call_share_one_softmax(generator):
    site = AttentionSite("b", "joint", None, heads=3, downscale=2)
    query, key = torch.randn(1, 3, 6, 4, generator=generator), torch.randn(1, 3, 10, 4, generator=generator)
    text = AttentionCall(site, query, key, 0.5, (2, 3), (True,), view="cross", columns=slice(0, 4))
    picture = AttentionCall(site, query, key, 0.5, (2, 3), (True,), view="self", columns=slice(4, 10))
    both = torch.cat([conditional_mean(text), conditional_mean(picture)], -1)
    torch.testing.assert_close(both, dense(query, key, 0.5))
    torch.testing.assert_close(both.sum(-1), torch.ones(1, 6))
