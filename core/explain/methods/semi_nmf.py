"""Semi-NMF (Ding, Li & Jordan 2010): CRAFT for activations that may be negative, as those of transformers are."""

from ..finder import Finder
from ..parts.factorise import factorise
from ..parts.task import FindTask, Found
from .nmf import FactorSettings, nonnegative


def _find(task: FindTask[FactorSettings]) -> Found:
    return Found(
        factorise(task.rows, task.count, task.generator, task.settings.iterations, False, on_share=task.on_share)
    )


METHOD = Finder(
    name="semi_nmf",
    title="Semi-NMF (CRAFT for signed activations)",
    help="Splits activations of any sign into directions, each with a strength of zero or more at every position.",
    presets={"paper": FactorSettings(), "small": FactorSettings(rows=10_000, iterations=100)},
    find=_find,
    code=nonnegative,
)
