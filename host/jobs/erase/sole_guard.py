"""The one guard that goes with a MODEL, for nodes that draw by themselves."""

from typing import Any

from ....core.messages import listed
from ...adapters import guards_of
from ...shared.guards import SamplingGuard


def sole_guard(model: Any, socket: str) -> SamplingGuard | None:
    """The guard of a MODEL's sampling runs; None for none. Raises ``ValueError`` for more than one, naming the socket
    that the MODEL is connected to."""
    guards = guards_of(model)
    if len(guards) > 1:
        names = listed([guard.title for guard in guards])
        raise ValueError(
            f"{socket} has several guards ({names}), and pictures are drawn with one here; connect the MODEL that has "
            "one of them"
        )
    return guards[0] if guards else None
