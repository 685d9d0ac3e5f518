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


def test_beside_the_result_little_more_than_one_block_is_held(generator):
    query, key = (torch.randn(1, 4, 512, 8, generator=generator) for _ in range(2))
    block, result = 4 * 2**16, 4 * 512 * 512  # bytes
    found = memory_of(lambda: head_mean(query, key, 0.5, chunk=2**16))
    assert found.peak < result + 3 * block


def test_only_conditional_rows_are_kept(query_key):
    query, key = query_key
    call = AttentionCall(SITE, query, key, 0.5, (2, 3), (False, True))
    torch.testing.assert_close(conditional_mean(call), dense(query, key, 0.5)[1:])
