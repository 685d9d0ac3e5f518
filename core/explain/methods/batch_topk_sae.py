"""A sparse autoencoder that keeps the largest codes of a whole batch (Bussmann et al. 2024, arXiv 2412.06410)."""

from ..finder import Finder
from ..parts.sparse import SparseSettings, free_directions, keep_batch, threshold_codes, train
from ..parts.task import FindTask, Found


def _find(task: FindTask[SparseSettings]) -> Found:
    return train(task, free_directions, keep_batch)


METHOD = Finder(
    name="batch_topk_sae",
    title="Sparse autoencoder, BatchTopK",
    help="Trains a network like that of TopK, in which busy positions may use more ingredients than empty ones.",
    presets={
        "paper": SparseSettings(rows=1_000_000, active=32, steps=20_000, rate=3e-4, batch=4096),
        "small": SparseSettings(),
    },
    find=_find,
    code=threshold_codes,
    note="Ask for more ingredients than of other methods: 64 on the lab, hundreds on large models.",
)
