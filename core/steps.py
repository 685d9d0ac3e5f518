"""How long work says how far it is."""

from collections.abc import Callable

OnStep = Callable[[int, int], None]
"""Called with how many steps are done, of how many; what it raises ends the work."""
