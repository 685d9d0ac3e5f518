import torch

from concept_atelier.core.explain.parts.least_squares import differentiable_codes, nonnegative_codes


def problem():
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(5, 30, generator=generator, dtype=torch.float64)
    rows = torch.randn(8, 30, generator=generator, dtype=torch.float64)
    return rows, directions


def test_codes_meet_the_conditions_of_the_optimum():
    """Karush-Kuhn-Tucker: no slope where a code is positive, an upward one where it is 0."""
    rows, directions = problem()
    codes = nonnegative_codes(rows, directions, sweeps=2000, tolerance=1e-12)
    slope = (codes @ directions - rows) @ directions.T
    assert bool((codes == 0).any()) and bool((codes > 0).any())
    assert float(slope[codes > 0].abs().max()) < 1e-8 and float(slope[codes == 0].min()) > -1e-8


def test_gradients_of_codes_agree_with_finite_differences():
    rows, directions = problem()
    weights = torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def value(at):
        return (nonnegative_codes(at, directions, sweeps=5000, tolerance=1e-14) * weights).sum()

    rows.requires_grad_(True)
    (differentiable_codes(rows, directions) * weights).sum().backward()
    plain, step = rows.detach(), 1e-5
    for row, column in ((0, 0), (1, 7), (3, 12), (6, 29)):
        moved = torch.zeros_like(plain)
        moved[row, column] = step
        numeric = (value(plain + moved) - value(plain - moved)) / (2 * step)
        assert abs(float(numeric - rows.grad[row, column])) < 1e-5
