"""ComfyUI's attention override: one function that every attention of a model goes through.

A listener reads queries and keys there and lets whatever would have computed the attention compute it.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor

OVERRIDE = "optimized_attention_override"

Key = TypeVar("Key", bound=Hashable)


class Listener(Generic[Key]):
    """Reads attention layers, each known by a key.

    Args:
        previous: the override that was there before, which computes; None for ComfyUI's own choice.
        preferred: layers that may compute with an attention of their own: asked when they run. ComfyUI leaves that out
            where an override is set.

    Attributes:
        elsewhere: key of the call that :meth:`listen` saw last, if it named no layer for it (a refiner before the
            blocks, for example), so that such a call keeps the attention that it prefers; None where it is not known.
    """

    def __init__(
        self,
        previous: Callable[..., Any] | None,
        preferred: Mapping[Key, Callable[[], Callable[..., Tensor] | None]],
    ) -> None:
        self._previous, self._preferred = previous, preferred
        self.elsewhere: Key | None = None

    def listen(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Key | None:
        """Report a layer's query and key, and say which layer it is; None where that is not known."""
        raise NotImplementedError

    def edited(self, layer: Key, args: Sequence[Any], kwargs: Mapping[str, Any], output: Tensor) -> Tensor:
        """The output of a layer that :meth:`listen` knew, or another in its place."""
        return output

    def compute(self, attention: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """The attention of a layer, by whatever would compute it without a listener."""
        layer = self.listen(args, kwargs)
        output = self.run(layer, attention, *args, **kwargs)
        return output if layer is None else self.edited(layer, args, kwargs, output)

    def run(self, layer: Key | None, attention: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """One attention of a layer, None for the call :attr:`elsewhere`, by whatever would compute it without us."""
        if self._previous is not None:
            return self._previous(attention, *args, **kwargs)
        key = self.elsewhere if layer is None else layer
        asked = None if key is None else self._preferred.get(key)
        chosen = asked() if asked is not None else None
        return (chosen or attention)(*args, **kwargs)


def override_of(
    listener: Listener[Any], previous: Callable[..., Any] | None, edits: bool = False
) -> Callable[..., Tensor]:
    """An ``optimized_attention_override``. It takes containers of tensors where the one before it does and the listener
    does not edit."""

    def override(attention: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        return listener.compute(attention, *args, **kwargs)

    taking = getattr(previous, "container_function", None)
    if taking is not None and not edits:

        def with_containers(*args: Any, **kwargs: Any) -> Any:
            listener.listen([*(one.peek() for one in args[:3]), *args[3:]], kwargs)
            return taking(*args, **kwargs)

        override.container_function = with_containers  # type: ignore[attr-defined]
    return override
