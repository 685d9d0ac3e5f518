"""The MODEL, CLIP and VAE behind a backbone, of which a job may leave out those that it does not need."""

from typing import Generic, TypeVar

ModelT = TypeVar("ModelT")
ClipT = TypeVar("ClipT")
VaeT = TypeVar("VaeT")
Part = TypeVar("Part")


class ModelParts(Generic[ModelT, ClipT, VaeT]):
    """The parts as a host hands them over; using one that was not given raises ``ValueError`` naming its socket."""

    def __init__(self, model: ModelT | None, clip: ClipT | None, vae: VaeT | None) -> None:
        self._model, self._clip, self._vae = model, clip, vae

    @property
    def model(self) -> ModelT:
        """The MODEL."""
        return given(self._model, "MODEL")

    @property
    def clip(self) -> ClipT:
        """The CLIP."""
        return given(self._clip, "CLIP")

    @property
    def vae(self) -> VaeT:
        """The VAE."""
        return given(self._vae, "VAE")


def given(part: Part | None, socket: str) -> Part:
    """A part that a job needs. Raises ``ValueError`` if it was not given."""
    if part is None:
        raise ValueError(f"this job needs a {socket}, and none was given; connect one")
    return part
