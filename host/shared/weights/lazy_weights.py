"""Weights of a model by name, each read when it is asked for."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

Reader = Callable[[], Tensor]


class LazyWeights(Mapping[str, Tensor]):
    """A mapping that holds no weights, only how to read each; what is read is not to be written to."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = dict(readers)

    def __getitem__(self, name: str) -> Tensor:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __contains__(self, name: object) -> bool:
        return name in self._readers
