"""The namespace ``ui`` of the stand-in: pictures and texts shown under a node.

Pictures are written as ComfyUI writes them: PNG with the prompt and the workflow inside, previews to the temporary
folder, saved ones to the output folder, the next free number in the name.
"""

from typing import Any

from torch import Tensor

from ...files import folders
from ...files.images import save_batch
from .node import ComfyNode, UIOutput
from .sockets import FolderType


class SavedResult(dict[str, str]):
    """Where a picture was written: ``filename``, ``subfolder``, ``type``."""

    def __init__(self, filename: str, subfolder: str, type: FolderType) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=type.value)


class SavedImages(UIOutput):
    """Pictures that were written."""

    def __init__(self, results: list[SavedResult], is_animated: bool = False) -> None:
        self.results, self.is_animated = results, is_animated

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.results} | ({"animated": (True,)} if self.is_animated else {})


class ImageSaveHelper:
    """Writes pictures."""

    @staticmethod
    def save_images(
        images: Tensor,
        filename_prefix: str,
        folder_type: FolderType,
        cls: type[ComfyNode] | None,
        compress_level: int = 4,
    ) -> list[SavedResult]:
        """Write pictures (B, H, W, 3) in 0..1 as ``<prefix>_00001_.png`` and so on."""
        root = folders.current().temp if folder_type is FolderType.temp else folders.current().output
        written = save_batch(images, root, filename_prefix, _metadata(cls), compress_level)
        return [SavedResult(p.name, p.parent.relative_to(root).as_posix().strip("."), folder_type) for p in written]

    @staticmethod
    def get_save_images_ui(
        images: Tensor, filename_prefix: str, cls: type[ComfyNode] | None, compress_level: int = 4
    ) -> SavedImages:
        """Write pictures to the output folder, to be shown under the node."""
        results = ImageSaveHelper.save_images(images, filename_prefix, FolderType.output, cls, compress_level)
        return SavedImages(results)


class PreviewImage(UIOutput):
    """Pictures (B, H, W, 3) in 0..1, written to the temporary folder."""

    def __init__(self, image: Tensor, animated: bool = False, cls: type[ComfyNode] | None = None, **_: Any) -> None:
        prefix = cls.__name__ if cls else "preview"
        self.values = ImageSaveHelper.save_images(image, prefix, FolderType.temp, cls, compress_level=1)
        self.animated = animated

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """Masks (B, H, W) in 0..1 as grey pictures."""

    def __init__(self, mask: Tensor, animated: bool = False, cls: type[ComfyNode] | None = None, **rest: Any) -> None:
        grey = mask.reshape(-1, *mask.shape[-2:], 1).expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls, **rest)


class PreviewText(UIOutput):
    """A text."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


def _metadata(cls: type[ComfyNode] | None) -> dict[str, Any]:
    if cls is None:
        return {}
    prompt = {"prompt": cls.hidden.prompt} if cls.hidden.prompt else {}
    return prompt | dict(cls.hidden.extra_pnginfo or {})
