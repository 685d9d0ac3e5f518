"""500 pictures of 256 positions and 1024 numbers fit into 24 GiB, with as many ingredients.

What finding and reading ingredients takes is bounded by a multiple of what the activations and the codes take. The test
measures that at a small size; at the full one both take 0.5 GiB. What does not grow with pictures is kept small here,
such as the k-means of RA-SAE over at most 4096 positions, some 0.2 GiB.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from concept_atelier.core.explain.activations import Activations
from concept_atelier.core.explain.methods import nmf
from concept_atelier.core.explain.registry import METHODS, encode
from tests.core.explain.conftest import origin

PICTURES, POSITIONS, WIDTH, COUNT = 200, 64, 128, 64
MULTIPLE = 12
GIB = 2**30


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside have taken at one time."""

    def __init__(self):
        super().__init__()
        self.alive, self.most = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                storage = one.untyped_storage()
                self.alive[storage.data_ptr()] = (storage.nbytes(), StorageWeakRef(storage))
        self.alive = {key: held for key, held in self.alive.items() if not held[1].expired()}
        self.most = max(self.most, sum(size for size, _ in self.alive.values()))
        return made


def test_the_meter_counts_what_is_held_at_one_time():
    with Peak() as peak:
        first = torch.zeros(1000)
        del first
        kept = [torch.zeros(1000), torch.zeros(1000)]
    assert len(kept) == 2 and 8000 <= peak.most < 9000


@pytest.mark.parametrize("name", ["semi_nmf", "kmeans", "pca", "topk_sae", "ra_sae"])
def test_memory_is_a_multiple_of_activations_and_codes(name, monkeypatch):
    # Every sweep of least squares takes as much room as any other, so a few of them show the peak of two hundred.
    monkeypatch.setattr(nmf, "nonnegative_codes", partial(nmf.nonnegative_codes, sweeps=3))
    rows = torch.rand(PICTURES, POSITIONS, WIDTH, generator=torch.Generator().manual_seed(0))
    activations, method = Activations(rows, (8, 8), origin(width=WIDTH)), METHODS[name]
    quick = {"semi_nmf": {"iterations": 2}, "topk_sae": {"steps": 3}, "ra_sae": {"steps": 3, "points": 64}}.get(
        name, {}
    )
    settings = replace(method.preset("paper"), rows=1_000_000, **quick)
    if name.endswith("sae"):
        settings = replace(settings, batch=512)
    with Peak() as peak:
        encode(method.bank(activations, COUNT, settings, seeds=1), activations)
    size, codes = (4 * PICTURES * POSITIONS * count for count in (WIDTH, COUNT))
    assert size < peak.most < MULTIPLE * (size + codes)
    full = 4 * 500 * 256 * 1024
    assert MULTIPLE * (full + full) < 24 * GIB
