"""How offsets of attention heads are trained."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...settings import Settings, setting


@dataclass(frozen=True)
class OffsetSettings(Settings):
    """How offsets are trained. Raises ``ValueError`` for values outside their range."""

    heads: int = setting(16, "Heads that get an offset.", least=1, most=4096)
    choosing: int = setting(200, "Steps that choose the heads; none if a scout has chosen.", least=1, most=20000)
    steps: int = setting(800, "Steps that train the offsets.", least=1, most=20000)
    rate: float = setting(1e-2, "Learning rate of the offsets.", above=0)
    scale_rate: float = setting(5e-3, "Learning rate of the scales that choose heads.", above=0)
    penalty: float = setting(5e-4, "Penalty on the size of these scales.", least=0)
    start: float = setting(1e-3, "Size of the random numbers that both start from.", least=0)
    batch: int = setting(4, "Pictures at noise levels that a step reads.", least=1, most=4096)
    side: int = setting(512, "Side of the pictures in pixels.", least=8)


PRESETS: Mapping[str, OffsetSettings] = {
    "paper": OffsetSettings(heads=32),
    "small": OffsetSettings(choosing=60, steps=240, rate=3e-2, side=128),
}
