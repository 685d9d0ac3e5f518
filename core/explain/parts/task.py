"""One fit of a method of finding ingredients: what it is asked, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ...settings import Settings, setting


@dataclass(frozen=True)
class FindSettings(Settings):
    """What every method has; each field's help is in its metadata."""

    rows: int = setting(
        20_000, "Positions that the method learns from at most, drawn evenly from all pictures.", least=2
    )
    scaled: bool = setting(True, "Divide every number of a position by its standard deviation first.")

    @property
    def cost(self) -> str:
        """For the help page."""
        return f"at most {self.rows:,} positions"


S = TypeVar("S", bound=FindSettings)


@dataclass(frozen=True, eq=False)
class FindTask(Generic[S]):
    """One fit.

    Attributes:
        rows: (n, D) float32, centred and scaled where the method wants it.
        count: K, how many directions are wanted, at most n.
        settings: the method's.
        generator: of all that is random.
        on_share: called now and then with the share of the fit that is done; what it raises ends the fit.
    """

    rows: Tensor
    count: int
    settings: S
    generator: torch.Generator
    on_share: Callable[[float], None] = lambda share: None


@dataclass(frozen=True, eq=False)
class Found:
    """What a fit gives.

    Attributes:
        directions: (K, D), any length but 0.
        extra: what codes need beside, see :attr:`ConceptBank.extra`; rows belong to directions in the order given
            where the first dimension is K.
        between: (K, K) tensors about pairs of directions, in the order given.
        shift: (D,) what the method takes from rows before it codes them; None for nothing.
    """

    directions: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    between: Mapping[str, Tensor] = field(default_factory=dict)
    shift: Tensor | None = None
