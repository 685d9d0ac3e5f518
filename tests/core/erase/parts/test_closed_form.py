from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.erase.parts.closed_form import OuterSum, compress, outer_sum, solve
from concept_atelier.core.files.tensors import load_tensors, save_tensors


def scales(**given):
    values = {"erase_scale": 1.0, "preserve_scale": 1.0, "damping": 0.5, "rank_tolerance": 0.0, "max_rank": 0}
    return SimpleNamespace(**(values | given))


@pytest.fixture
def problem(generator):
    """Erased (4, 24), anchors (4, 24), preserved (6, 24), a projection (10, 24)."""
    return [torch.randn(rows, 24, generator=generator, dtype=torch.float64) for rows in (4, 4, 6, 10)]


def dense(erased, anchors, preserved, w0, s):
    """B A^-1 of the card, written out."""
    eye = torch.eye(w0.shape[1], dtype=torch.float64)
    a = s.damping * eye + s.erase_scale * erased.T @ erased + s.preserve_scale * preserved.T @ preserved
    b = s.damping * w0 + s.erase_scale * (w0 @ anchors.T) @ erased + s.preserve_scale * (w0 @ preserved.T) @ preserved
    return b @ torch.linalg.inv(a)


@pytest.mark.parametrize("given", [{}, {"erase_scale": 3.0, "preserve_scale": 0.2, "damping": 10.0}])
def test_equals_the_dense_solution(problem, given):
    erased, anchors, preserved, w0 = problem
    edit = solve(erased, anchors, outer_sum(preserved), scales(**given))
    torch.testing.assert_close(w0 + w0 @ edit.shift @ edit.down, dense(*problem, scales(**given)))
    factor = edit.of(w0.float())
    torch.testing.assert_close(w0.float() + factor.dense(), dense(*problem, scales(**given)).float())


def test_the_objective_has_no_slope_at_the_solution(problem):
    erased, anchors, preserved, w0 = problem
    s = scales(erase_scale=2.0, preserve_scale=0.3)
    edit = solve(erased, anchors, outer_sum(preserved), s)

    def objective(w):
        moved = s.erase_scale * (w @ erased.T - w0 @ anchors.T).square().sum()
        kept = s.preserve_scale * (w @ preserved.T - w0 @ preserved.T).square().sum()
        return moved + kept + s.damping * (w - w0).square().sum()

    at_solution = (w0 + w0 @ edit.shift @ edit.down).requires_grad_()
    at_start = w0.clone().requires_grad_()
    (slope,) = torch.autograd.grad(objective(at_solution), at_solution)
    (other,) = torch.autograd.grad(objective(at_start), at_start)
    assert slope.abs().max() < 1e-10 < 1e-2 < other.abs().max()


def test_preserved_vectors_may_come_in_parts(generator):
    rows = torch.randn(50, 24, generator=generator)
    parts = sum(outer_sum(part) for part in rows.split([7, 0, 40, 3]))
    torch.testing.assert_close(parts, rows.double().T @ rows.double())


@pytest.mark.parametrize("held", [1, 10, 1000])
def test_vectors_that_wait_for_others_are_all_counted(generator, held):
    rows, summed = torch.randn(50, 24, generator=generator), OuterSum(held)
    for part, times in zip(rows.split([7, 0, 40, 3]), (1, 1, 3, 0), strict=True):
        summed.add(part, times)
    expected = outer_sum(rows[:7]) + 3 * outer_sum(rows[7:47])
    torch.testing.assert_close(summed.total(), expected)
    summed.add(rows[:1])
    torch.testing.assert_close(summed.total(), expected + outer_sum(rows[:1]))


def test_a_sum_of_nothing_is_zeros_of_the_vectors_width():
    summed = OuterSum()
    summed.add(torch.ones(3, 5), times=0)
    assert summed.total().equal(torch.zeros(5, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match="no vectors were added"):
        OuterSum().total()


def test_rank_is_at_most_the_number_of_erased_vectors(problem):
    erased, anchors, preserved, _ = problem
    assert solve(erased, anchors, outer_sum(preserved), scales()).rank == 4
    repeated = solve(erased.repeat(20, 1), anchors.repeat(20, 1), outer_sum(preserved), scales())
    assert repeated.rank == 4 and repeated.relative_error < 1e-12


def test_more_vectors_than_dimensions_are_fine(generator):
    erased, anchors = torch.randn(2, 50, 8, generator=generator, dtype=torch.float64)
    w0 = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    edit = solve(erased, anchors, outer_sum(erased[:0]), scales())
    assert edit.rank <= 8
    torch.testing.assert_close(w0 + w0 @ edit.shift @ edit.down, dense(erased, anchors, erased[:0], w0, scales()))


def test_preserved_vectors_move_less_the_more_they_weigh(problem):
    erased, anchors, preserved, w0 = problem
    moved = [
        (w0 @ edit.shift @ edit.down @ preserved.T).norm().item()
        for edit in (
            solve(erased, anchors, outer_sum(preserved), scales(preserve_scale=s)) for s in (0.0, 0.1, 1.0, 10.0, 1e4)
        )
    ]
    assert moved == sorted(moved, reverse=True) and moved[-1] < 1e-2 * moved[0]


def test_erased_vectors_reach_their_anchors_as_damping_vanishes(problem):
    erased, anchors, _, w0 = problem
    edit = solve(erased, anchors, outer_sum(erased[:0]), scales(damping=1e-8))
    torch.testing.assert_close((w0 + w0 @ edit.shift @ edit.down) @ erased.T, w0 @ anchors.T, atol=1e-5, rtol=0)


def test_erasing_random_vectors_leaves_the_concept_alone(problem, generator):
    erased, anchors, preserved, w0 = problem
    random = torch.randn(erased.shape, generator=generator, dtype=torch.float64)
    random = random * erased.norm(dim=1, keepdim=True) / random.norm(dim=1, keepdim=True)

    def distance(edit):
        return ((w0 + w0 @ edit.shift @ edit.down) @ erased.T - w0 @ anchors.T).norm()

    before = (w0 @ (erased - anchors).T).norm()
    assert distance(solve(erased, anchors, outer_sum(preserved), scales())) < 0.3 * before
    assert distance(solve(random, anchors, outer_sum(preserved), scales())) > 0.7 * before


def test_near_equal_vectors_are_merged_within_the_tolerance(generator):
    base = torch.randn(2, 3, 40, generator=generator, dtype=torch.float64)
    noise = 1e-4 * torch.randn(2, 60, 40, generator=generator, dtype=torch.float64)
    erased, anchors = base.repeat(1, 20, 1) + noise
    exact = solve(erased, anchors, outer_sum(erased[:0]), scales())
    merged = solve(erased, anchors, outer_sum(erased[:0]), scales(rank_tolerance=1e-2))
    whole = exact.shift @ exact.down
    error = float((whole - merged.shift @ merged.down).norm() / whole.norm())
    assert merged.rank == 3 < exact.rank
    assert error <= 1e-2 and error == pytest.approx(merged.relative_error, rel=1e-6)


def test_a_bound_on_the_rank_holds_and_its_cost_is_reported(problem):
    erased, anchors, preserved, _ = problem
    edit = solve(erased, anchors, outer_sum(preserved), scales(max_rank=2))
    assert edit.rank == 2 and 0.01 < edit.relative_error < 1


def test_nothing_to_change_gives_zero_factors(problem):
    erased, _, preserved, w0 = problem
    edit = solve(erased, erased, outer_sum(preserved), scales())
    assert edit.rank == 1 and edit.relative_error == 0
    assert not edit.of(w0).dense().any()


def test_half_precision_weights_are_solved_in_double(problem):
    erased, anchors, preserved, w0 = problem
    edit = solve(erased.half(), anchors.half(), outer_sum(preserved.half()), scales())
    exact = dense(*(rows.half().double() for rows in problem), scales()) - w0.half().double()
    factor = edit.of(w0.half())
    assert factor.up.dtype == torch.float32
    torch.testing.assert_close(factor.dense().double(), exact, atol=1e-5, rtol=1e-4)


def test_compression_is_exact_without_tolerance(generator):
    left, right = torch.randn(30, 7, generator=generator).double(), torch.randn(7, 30, generator=generator).double()
    edit = compress(left, right)
    assert edit.rank == 7
    torch.testing.assert_close(edit.shift @ edit.down, left @ right)


def test_changes_of_all_projections_hold_what_they_share_once_and_are_saved_each_by_itself(tmp_path):
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(2, 8, generator=generator) for _ in range(2)]
    edit = solve(*rows, torch.zeros(8, 8), scales())
    first, second = (edit.of(torch.randn(size, 8, generator=generator)) for size in (4, 6))
    assert first.down.data_ptr() == second.down.data_ptr() and first.up.dtype == torch.float32
    save_tensors(tmp_path / "file.safetensors", {"a": first.down, "b": second.down})
    loaded, _ = load_tensors(tmp_path / "file.safetensors")
    assert torch.equal(loaded["a"], first.down) and torch.equal(loaded["b"], first.down)
