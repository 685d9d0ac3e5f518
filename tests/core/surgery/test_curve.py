import pytest
import torch

from concept_atelier.core.surgery.curve import curve_of
from concept_atelier.core.surgery.refactor import slim


def features(angle):
    """Two pictures at an angle (radians) from the fine-tune's."""
    turn = torch.tensor(float(angle))
    return torch.stack([torch.cos(turn), torch.sin(turn)]).expand(2, 2)


def test_the_smallest_share_that_brings_back_enough():
    tuned, base = features(0), features(1.2)
    made = curve_of([0.01, 0.1, 0.5], tuned, base, [features(1.2), features(0.1), features(0)])
    assert made.recovered[0] == pytest.approx(0, abs=1e-6) and made.recovered[2] == pytest.approx(1)
    assert made.chosen == 1
    fell = curve_of([0.01, 0.1, 0.5], tuned, base, [features(0), features(1.0), features(0)])
    assert fell.chosen == 2, "a share counts only where greater ones are enough too"
    assert curve_of([0.1], tuned, base, [features(1.0)]).chosen is None


def test_prompts_that_do_not_show_the_fine_tune_are_refused():
    with pytest.raises(ValueError, match="draws these prompts as the model does"):
        curve_of([0.1], features(0), features(0.01), [features(0)])


def change_of(rows, columns, sizes, seed=0):
    made = torch.Generator().manual_seed(seed)
    up, down = (torch.linalg.qr(torch.randn(n, len(sizes), generator=made))[0] for n in (rows, columns))
    return (up * torch.tensor(sizes)) @ down.T


@pytest.mark.parametrize("shape", [(40, 30), (600, 700)])
def test_a_lora_with_idle_ranks_is_slimmed_to_those_that_matter(shape):
    change = change_of(*shape, [5.0, 3.0, 1.0, 0.05, 0.01])
    base = {"w": torch.zeros(*shape), "norm": torch.zeros(4)}
    tuned = {"w": change, "norm": torch.ones(4)}
    found = slim(base, tuned, ["w", "norm"], 0.95, 16)
    assert found.ranks == [2] and found.left_out == ("norm",)
    assert found.kept == pytest.approx(34 / 35.0026, abs=1e-3)
    assert slim(base, tuned, ["w"], 0.99, 16).ranks == [3]
    whole = slim(base, tuned, ["w"], 1.0, 16).factors["w"]
    torch.testing.assert_close(whole.dense(), change, rtol=0, atol=1e-4)
    assert slim(base, tuned, ["w"], 1.0, 1).ranks == [1]


def test_a_convolution_is_taken_as_a_matrix_and_norms_alone_are_refused():
    change = change_of(8, 36, [2.0]).view(8, 4, 3, 3)
    found = slim({"c": torch.zeros(8, 4, 3, 3)}, {"c": change}, ["c"], 0.95, 8)
    torch.testing.assert_close(found.factors["c"].dense().view(8, 4, 3, 3), change, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="biases and norms"):
        slim({"n": torch.zeros(3)}, {"n": torch.ones(3)}, ["n"], 0.95, 8)
