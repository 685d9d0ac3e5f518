"""How long work says how far it is."""

from collections.abc import Callable

OnStep = Callable[[int, int], None]
"""Called with how many steps are done, of how many; what it raises ends the work."""


def of_part(on_step: OnStep | None, part: int, parts: int) -> OnStep | None:
    """A listener of the steps of one of several equal parts, counted from 0, that counts those of all parts."""
    if on_step is None:
        return None
    return lambda step, total: on_step(part * total + step, parts * total)
