"""CRAFT's factorisation (Fel et al. 2023, arXiv 2211.10154, section 3.1): non-negative codes and directions."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...settings import setting
from ..finder import Finder
from ..parts.factorise import factorise
from ..parts.least_squares import nonnegative_codes
from ..parts.task import FindSettings, FindTask, Found


@dataclass(frozen=True)
class FactorSettings(FindSettings):
    """Settings of factorisations; each field's help is in its metadata."""

    iterations: int = setting(200, "Alternations of codes and directions at most.", least=1)

    @property
    def cost(self) -> str:
        return f"{super().cost}, {self.iterations} alternations"


def nonnegative(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """Codes by non-negative least squares."""
    return nonnegative_codes(rows, directions)


def _find(task: FindTask[FactorSettings]) -> Found:
    if bool((task.rows < 0).any()):
        share = float((task.rows < 0).float().mean())
        raise ValueError(
            f"nmf needs activations without negative values, and {share:.0%} of these are negative: choose semi_nmf, "
            "or a layer behind a ReLU"
        )
    return Found(
        factorise(task.rows, task.count, task.generator, task.settings.iterations, True, on_share=task.on_share)
    )


METHOD = Finder(
    name="nmf",
    title="NMF (CRAFT)",
    help="Splits activations into parts that only add up, each with a strength of zero or more at every position.",
    presets={"paper": FactorSettings(), "small": FactorSettings(rows=10_000, iterations=100)},
    find=_find,
    code=nonnegative,
    centred=False,
    note="It reads layers whose activations are never negative.",
)
