"""Changes of weights that a model computes with for the length of a context."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from ....core.backbone import TextChanges
from ....core.types import Change


class ChangesInForce:
    """What :meth:`~....core.backbone.Backbone.adapted` and ``text_changed`` put in force. Contexts nest; their changes
    add up."""

    def __init__(self) -> None:
        self.weights: list[Mapping[str, Change]] = []
        self.texts: list[TextChanges] = []

    @contextmanager
    def adapted(self, changes: Mapping[str, Change]) -> Iterator[None]:
        """Within the context the denoiser computes with these changes."""
        self.weights.append(changes)
        try:
            yield
        finally:
            self.weights.pop()

    @contextmanager
    def text_changed(self, changes: TextChanges) -> Iterator[None]:
        """Within the context the text encoders compute with these changes."""
        self.texts.append(changes)
        try:
            yield
        finally:
            self.texts.pop()

    def of_weight(self, name: str) -> list[Change]:
        """What is added to a weight of the denoiser now."""
        return [changes[name] for changes in self.weights if name in changes]

    def of_text(self, encoder: str, name: str) -> list[Change]:
        """What is added to a weight of a text encoder now."""
        return [of[encoder][name] for of in self.texts if name in of.get(encoder, {})]

    def remembered(self) -> Callable[[], AbstractContextManager[None]]:
        """How to compute with the changes that are in force now, when they no longer are."""
        weights, texts = list(self.weights), list(self.texts)

        @contextmanager
        def restored() -> Iterator[None]:
            now = self.weights, self.texts
            self.weights, self.texts = weights, texts
            try:
                yield
            finally:
                self.weights, self.texts = now

        return restored
