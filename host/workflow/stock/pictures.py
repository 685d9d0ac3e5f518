"""Loading, saving and resizing pictures."""

import hashlib

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...files import folders
from ...files.images import from_pil, read_frames, to_pil
from ...schema.standin import io, ui

MAX_SIDE = 16384
NO_MASK = (64, 64)
"""Size of the empty mask that LoadImage gives for a picture without transparency, as in ComfyUI."""


class LoadImage(io.ComfyNode):
    """A picture file, and its transparency as a mask (1 = see-through)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadImage",
            display_name="Load Image",
            category="image",
            inputs=[io.Combo.Input("image", folders.current().list_pictures(), upload=io.UploadType.image)],
            outputs=[io.Image.Output(display_name="IMAGE"), io.Mask.Output(display_name="MASK")],
        )

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        frames = read_frames(folders.current().find_picture(image))
        size = frames[0][0].shape
        same = [(colours, mask) for colours, mask in frames if colours.shape == size]
        empty = torch.zeros(NO_MASK if all(mask is None for _, mask in same) else size[:2])
        masks = [empty if mask is None else mask for _, mask in same]
        return io.NodeOutput(torch.stack([colours for colours, _ in same]), torch.stack(masks))

    @classmethod
    def validate_inputs(cls, image: str) -> bool | str:
        try:
            folders.current().find_picture(image)
        except (FileNotFoundError, folders.BadNameError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, image: str) -> str:
        return hashlib.sha256(folders.current().find_picture(image).read_bytes()).hexdigest()


class LoadImageMask(io.ComfyNode):
    """One channel of a picture file as a mask."""

    CHANNELS = ("alpha", "red", "green", "blue")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadImageMask",
            display_name="Load Image (as Mask)",
            category="image",
            inputs=[
                io.Combo.Input("image", folders.current().list_pictures(), upload=io.UploadType.image),
                io.Combo.Input("channel", list(cls.CHANNELS)),
            ],
            outputs=[io.Mask.Output(display_name="MASK")],
        )

    @classmethod
    def execute(cls, image: str, channel: str) -> io.NodeOutput:
        colours, mask = LoadImage.execute(image).args
        return io.NodeOutput(mask if channel == "alpha" else colours[..., cls.CHANNELS.index(channel) - 1])

    @classmethod
    def validate_inputs(cls, image: str) -> bool | str:
        return LoadImage.validate_inputs(image)

    @classmethod
    def fingerprint_inputs(cls, image: str, channel: str) -> str:
        return LoadImage.fingerprint_inputs(image)


class SaveImage(io.ComfyNode):
    """Pictures to PNG files in the output folder, with the workflow inside."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveImage",
            display_name="Save Image",
            category="image",
            is_output_node=True,
            inputs=[io.Image.Input("images"), io.String.Input("filename_prefix", default="ComfyUI")],
        )

    @classmethod
    def execute(cls, images: Tensor, filename_prefix: str) -> io.NodeOutput:
        return io.NodeOutput(ui=ui.ImageSaveHelper.get_save_images_ui(images, filename_prefix, cls))

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None) -> bool | str:
        return folders.name_verdict(filename_prefix, "filename_prefix")


class PreviewImage(io.ComfyNode):
    """Pictures to PNG files in the folder for previews."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewImage",
            display_name="Preview Image",
            category="image",
            is_output_node=True,
            inputs=[io.Image.Input("images")],
        )

    @classmethod
    def execute(cls, images: Tensor) -> io.NodeOutput:
        return io.NodeOutput(ui=ui.PreviewImage(images, cls=cls))


class ImageScale(io.ComfyNode):
    """Pictures at another size; a side of 0 follows the other one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImageScale",
            display_name="Upscale Image",
            category="image/upscaling",
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input("upscale_method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]),
                io.Int.Input("width", default=512, min=0, max=MAX_SIDE, step=1),
                io.Int.Input("height", default=512, min=0, max=MAX_SIDE, step=1),
                io.Combo.Input("crop", ["disabled", "center"]),
            ],
            outputs=[io.Image.Output(display_name="IMAGE")],
        )

    @classmethod
    def execute(cls, image: Tensor, upscale_method: str, width: int, height: int, crop: str) -> io.NodeOutput:
        rows, columns = image.shape[1:3]
        if width == 0 and height == 0:
            return io.NodeOutput(image)
        width = width or max(1, round(columns * height / rows))
        height = height or max(1, round(rows * width / columns))
        if crop == "center":
            image = crop_to_shape(image, width / height)
        return io.NodeOutput(resize(image, (height, width), upscale_method))


def crop_to_shape(pictures: Tensor, aspect: float) -> Tensor:
    """The middle of pictures (B, H, W, C) that has the given width per height."""
    rows, columns = pictures.shape[1:3]
    left, top = max(0, round((columns - rows * aspect) / 2)), max(0, round((rows - columns / aspect) / 2))
    return pictures[:, top : rows - top, left : columns - left]


def resize(pictures: Tensor, size: tuple[int, int], method: str) -> Tensor:
    """Pictures (B, H, W, 3) at size (h, w), by a method of :class:`ImageScale`."""
    if method == "lanczos":
        resized = [to_pil(p).resize((size[1], size[0]), Image.Resampling.LANCZOS) for p in pictures]
        return torch.stack([from_pil(p)[0] for p in resized])
    return F.interpolate(pictures.movedim(-1, 1), size=size, mode=method).movedim(1, -1)


class MaskToImage(io.ComfyNode):
    """Masks as grey pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MaskToImage",
            display_name="Convert Mask to Image",
            category="mask",
            inputs=[io.Mask.Input("mask")],
            outputs=[io.Image.Output(display_name="IMAGE")],
        )

    @classmethod
    def execute(cls, mask: Tensor) -> io.NodeOutput:
        return io.NodeOutput(mask.reshape(-1, *mask.shape[-2:], 1).expand(-1, -1, -1, 3))
