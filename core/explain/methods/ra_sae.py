"""RA-SAE: a sparse autoencoder whose directions are mixtures of real positions (Fel et al. 2025, arXiv 2502.12892)."""

from dataclasses import dataclass

from ...settings import setting
from ..finder import Finder
from ..parts.sparse import SparseSettings, keep_top, mixed_directions, top_codes, train
from ..parts.task import FindTask, Found


@dataclass(frozen=True)
class MixtureSettings(SparseSettings):
    """Settings of RA-SAE; each field's help is in its metadata."""

    points: int = setting(256, "Real positions that ingredients are mixtures of: centres of k-means.")
    reach: float = setting(0.3, "How far an ingredient may leave the mixtures, as a share of the points' mean length.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points < 2 or self.reach < 0:
            raise ValueError(f"points must be at least 2 and reach at least 0, got {self.points} and {self.reach:g}")


def _find(task: FindTask[MixtureSettings]) -> Found:
    return train(task, mixed_directions(task, task.settings.points, task.settings.reach), keep_top)


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
    note="Ask for more ingredients than of other methods: 64 on the lab, thousands on large models.",
)
