import torch

from concept_atelier.core.explain.parts.least_squares import nonnegative_codes


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
