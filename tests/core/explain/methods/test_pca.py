import torch

from concept_atelier.core.explain.methods.pca import METHOD
from concept_atelier.core.explain.parts.task import FindTask


def test_both_ends_of_the_axes_along_which_rows_differ_most_come_first():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q.T
    spread = torch.tensor([5.0, 3.0, 2.0] + [0.1] * 9)
    rows = torch.randn(2000, 12, generator=generator) * spread @ axes
    found = METHOD.find(FindTask(rows, 6, METHOD.preset("small"), generator)).directions
    along = found @ axes[:3].T  # (6, 3)
    ends = along.view(3, 2, 3)  # three axes, two ends of each
    assert float(ends.abs().diagonal(dim1=0, dim2=2).min()) > 0.99
    assert torch.equal(ends[:, 0], -ends[:, 1])
