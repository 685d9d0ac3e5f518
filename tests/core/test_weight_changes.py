"""Changes of weights against the equations that define them."""

import pytest
import torch

from concept_atelier.core.types import LowRank
from concept_atelier.core.weight_changes import Hadamard, Kronecker, decomposed, low_rank, whole


def some(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_low_rank_of_a_convolution_is_one_convolution_after_the_other():
    up, down, picture = some(5, 2, 1, 1), some(2, 3, 3, 3, seed=1), some(1, 3, 6, 6, seed=2)
    weight = low_rank(up, down, scale=0.5).dense().reshape(5, 3, 3, 3)
    expected = 0.5 * torch.conv2d(torch.conv2d(picture, down), up)
    torch.testing.assert_close(torch.conv2d(picture, weight), expected, rtol=1e-4, atol=1e-4)


def test_tuckers_form_is_three_convolutions():
    up, down, middle = some(5, 2), some(2, 3, seed=1), some(2, 2, 3, 3, seed=2)
    picture = some(1, 3, 6, 6, seed=3)
    weight = low_rank(up, down, middle=middle).dense().reshape(5, 3, 3, 3)
    inner = torch.conv2d(torch.conv2d(picture, down[..., None, None]), middle)
    torch.testing.assert_close(
        torch.conv2d(picture, weight), torch.conv2d(inner, up[..., None, None]), rtol=1e-4, atol=1e-4
    )


def test_loha_has_the_product_of_both_ranks():
    change = Hadamard(LowRank(some(6, 2), some(2, 6)), LowRank(some(6, 2, seed=1), some(2, 6, seed=1)))
    assert change.shape == change.dense().shape == (6, 6) and torch.linalg.matrix_rank(change.dense()) == 4


@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_lokr_is_the_kronecker_product(kernel):
    first, second = some(2, 3), some(4, 5, *kernel, seed=1)
    change = Kronecker(first, second)
    dense = change.dense()
    assert tuple(dense.shape) == change.shape
    dense = dense.reshape(8, 15, *kernel)
    for row in range(2):
        for column in range(3):
            block = dense[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
            torch.testing.assert_close(block, first[row, column] * second)


def test_a_bias_is_a_column():
    assert whole(some(4)).shape == (4, 1) and whole(some(4, 2, 3, 3)).shape == (4, 18)


def test_dora_gives_columns_the_learnt_lengths():
    weight, change, lengths = some(4, 6), some(4, 6, seed=1), some(1, 6, seed=2).abs()
    torch.testing.assert_close(decomposed(weight, change, lengths).norm(dim=0), lengths[0])
    kernel = decomposed(some(4, 6, 3, 3), some(4, 6, 3, 3, seed=1), lengths[..., None, None])
    torch.testing.assert_close(kernel.transpose(0, 1).flatten(1).norm(dim=1), lengths[0])


def test_dora_by_rows_measures_the_weight_before_the_change():
    weight, change, lengths = some(4, 6), some(4, 6, seed=1), some(4, 1, seed=2).abs()
    expected = (weight + change) * lengths / weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(decomposed(weight, change, lengths), expected)
    torch.testing.assert_close(decomposed(weight, 0 * change, weight.norm(dim=1, keepdim=True)), weight)


@pytest.mark.parametrize(
    "make",
    [
        lambda: low_rank(some(5, 2), some(3, 4)),
        lambda: low_rank(some(5), some(5, 4)),
        lambda: low_rank(some(5, 2), some(2, 3), middle=some(2, 4, 3, 3)),
        lambda: Hadamard(LowRank(some(6, 2), some(2, 6)), LowRank(some(6, 2), some(2, 5))),
        lambda: whole(torch.tensor(1.0)),
        lambda: Kronecker(some(2), some(4, 5)),
        lambda: Kronecker(some(2, 2), some(4)),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(make):
    with pytest.raises(ValueError, match="has "):
        make()
