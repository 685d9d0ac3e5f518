"""A sparse autoencoder that keeps the k largest codes of every position (Gao et al. 2024, arXiv 2406.04093)."""

from ..finder import Finder
from ..parts.sparse import SparseSettings, free_directions, keep_top, top_codes, train
from ..parts.task import FindTask, Found


def _find(task: FindTask[SparseSettings]) -> Found:
    return train(task, free_directions, keep_top)


METHOD = Finder(
    name="topk_sae",
    title="Sparse autoencoder, TopK",
    help="Trains a network that makes every position from a few of many ingredients.",
    presets={
        "paper": SparseSettings(rows=1_000_000, active=32, steps=20_000, rate=3e-4, batch=4096),
        "small": SparseSettings(),
    },
    find=_find,
    code=top_codes,
    note="Ask for more ingredients than of other methods: 64 on the lab, hundreds on large models.",
)
