"""RA-SAE: a sparse autoencoder whose directions are mixtures of real positions (Fel et al. 2025, arXiv 2502.12892)."""

from ..finder import Finder
from ..parts.sparse import MixtureSettings, keep_top, mixed_directions, top_codes, train
from ..parts.task import FindTask, Found


def _find(task: FindTask[MixtureSettings]) -> Found:
    return train(task, mixed_directions, keep_top)


METHOD = Finder(
    name="ra_sae",
    title="Sparse autoencoder, RA-SAE",
    help="A sparse autoencoder whose ingredients stay close to real positions, so that other seeds find them again.",
    presets={
        "paper": MixtureSettings(
            rows=1_000_000, active=32, steps=20_000, rate=3e-4, batch=4096, points=32_000, reach=1.0
        ),
        "small": MixtureSettings(),
    },
    find=_find,
    code=top_codes,
    note="Ask for more ingredients than of other methods: 64 on the lab, hundreds on large models.",
)
