"""Pictures for people: masks over a picture, heat maps with their words, curves. PIL in, IMAGE tensors out."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from .labels import Colour, Label, write_labels, write_line

PALETTE = (
    (230, 60, 80),
    (40, 130, 230),
    (40, 170, 90),
    (240, 160, 30),
    (150, 80, 210),
    (20, 180, 190),
    (235, 110, 190),
    (130, 110, 60),
)
# A ramp from black over purple and orange to pale yellow, light rising evenly so that it reads in grey as well.
HEAT = np.array([[0, 0, 4], [80, 18, 123], [183, 55, 121], [252, 137, 97], [252, 253, 191]], dtype=np.float32) / 255
LEAST_SIDE = 320
TINT, DIMMED = 0.3, 0.4
"""How much of its colour a mask gets, and how much of its light the rest keeps."""
COARSE = 96
"""Labels are placed on a grid of about this many cells a side."""
DARK, LIGHT = (16, 16, 20), (255, 255, 255)


def overlay_masks(
    picture: Tensor,
    masks: Tensor,
    labels: Sequence[str],
    colours: Sequence[Colour] | None = None,
    tint: float = TINT,
) -> Tensor:
    """Tint and outline each mask over a picture, dim the rest, and write labels.

    Outlines have a dark line outside and a light one inside, so that one of them stands out on any colour.

    Args:
        picture: (H, W, 3) in 0..1.
        masks: (N, H, W) in 0..1.
        labels: N texts.
        colours: one per mask; those of :func:`colour_of` by default.
        tint: how much of its colour a mask gets.

    Returns:
        (h, w, 3) in 0..1, enlarged to at least 320 pixels a side so that labels can be read.
    """
    colours = [colour_of(index) for index in range(len(masks))] if colours is None else colours
    shown = _dimmed(picture.float(), masks.float())
    for mask, colour in zip(masks.float(), colours, strict=True):
        inner = mask[..., None] * tint
        shown = shown * (1 - inner) + torch.tensor(colour) / 255 * inner
    canvas, scale = _enlarged(shown, Image.Resampling.NEAREST)
    line = max(1, round(min(canvas.size) / 200))
    for mask in masks:
        canvas.paste(LIGHT, mask=_rim(mask, canvas.size, 2 * line))
        canvas.paste(DARK, mask=_rim(mask, canvas.size, line))
    places = [middle(mask) for mask in masks]
    write_labels(
        canvas,
        [
            Label(text, ((place[0] + 0.5) * scale, (place[1] + 0.5) * scale), colour)
            for text, place, colour in zip(labels, places, colours, strict=True)
            if place
        ],
    )
    return _to_tensor(canvas)


def side_by_side(pictures: Sequence[Tensor], gap: int = 4) -> Tensor:
    """IMAGE (1, H, W, 3): pictures (1, h, w, 3) in a row from the top, white below shorter ones and between."""
    height = max(picture.shape[1] for picture in pictures)
    filled = [pad(picture, (0, 0, 0, gap, 0, height - picture.shape[1]), value=1.0) for picture in pictures]
    return torch.cat(filled, 2)[:, :, :-gap] if gap else torch.cat(filled, 2)


def colour_of(index: int) -> Colour:
    """The colour of the mask with this number; after the last one it starts again."""
    return PALETTE[index % len(PALETTE)]


def middle(mask: Tensor) -> tuple[int, int] | None:
    """Where the label of a mask (H, W) stands: a pixel (x, y) deep inside it; None if the mask is empty.

    Of the pixels that are nearly as far from the mask's edge as any, the one nearest to its centre of mass. The centre
    of mass alone may lie outside: in the hole of a ring, or on the thing in front of a background.
    """
    inside = mask > 0.5
    if not inside.any():
        return None
    places = (inside & (_depth(inside) >= 0.8)).nonzero()  # (n, 2): y, x
    y, x = places[(places - inside.nonzero().float().mean(0)).square().sum(1).argmin()].tolist()
    return x, y


def _depth(inside: Tensor) -> Tensor:
    """(H, W): how far each pixel of a mask is from its edge, or from that of the picture; 1 for the deepest."""
    height, width = inside.shape
    step = max(1, max(height, width) // COARSE)  # pixels a side of a cell
    cells = max_pool2d(inside[None].float(), step, ceil_mode=True)  # (1, h, w)
    depth = torch.zeros_like(cells)
    while cells.any():
        depth += cells
        cells = -max_pool2d(-pad(cells, (1, 1, 1, 1)), 3, stride=1)  # one cell less on every side
    fine = depth[0].repeat_interleave(step, 0).repeat_interleave(step, 1)[:height, :width]
    return fine / fine.max()


def heat_over(picture: Tensor, heat: Tensor, label: str) -> Tensor:
    """A heat map (H, W) in 0..1 over a picture (H, W, 3), with its word in the corner; enlarged as above."""
    position = heat.float().clamp(0, 1).numpy() * (len(HEAT) - 1)
    low = np.clip(position.astype(int), 0, len(HEAT) - 2)
    colour = HEAT[low] + (HEAT[low + 1] - HEAT[low]) * (position - low)[..., None]
    grey = picture.float().mean(-1, keepdim=True)
    canvas, _ = _enlarged(0.35 * grey + 0.65 * torch.from_numpy(colour), Image.Resampling.BICUBIC)
    write_labels(canvas, [Label(label, (0, 0), (0, 0, 0))])
    return _to_tensor(canvas)


def plot_curve(values: Tensor, title: str, size: tuple[int, int] = (300, 480)) -> Tensor:
    """A curve of values (n,), with a running mean and its range on the axis, as (h, w, 3) in 0..1."""
    height, width = size
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    small = ImageFont.load_default(13)
    write_line(draw, (12, 8), title, (30, 30, 30), 16, width - 24)
    box = (56, 40, width - 16, height - 34)
    draw.rectangle(box, outline=(190, 190, 190))
    series = [float(v) for v in values if np.isfinite(float(v))]
    if len(series) < 2:
        draw.text((box[0] + 12, box[1] + 12), "not enough steps to draw", fill=(120, 120, 120), font=small)
        return _to_tensor(canvas)
    low, high = min(series), max(series)
    span = (high - low) or 1.0
    window = max(1, len(series) // 20)
    smooth = np.convolve(series, np.ones(window) / window, "valid")
    draw.line(_points(series, 0, len(series), low, span, box), fill=(200, 215, 240), width=1)
    draw.line(_points(list(smooth), window // 2, len(series), low, span, box), fill=(30, 90, 200), width=2)
    draw.text((6, box[1] - 6), f"{high:.3g}", fill=(90, 90, 90), font=small)
    draw.text((6, box[3] - 10), f"{low:.3g}", fill=(90, 90, 90), font=small)
    draw.text((box[0], box[3] + 6), "1", fill=(90, 90, 90), font=small)
    draw.text((box[2] - 60, box[3] + 6), f"step {len(series)}", fill=(90, 90, 90), font=small)
    return _to_tensor(canvas)


def _points(
    series: Sequence[float], offset: int, total: int, low: float, span: float, box: tuple[int, int, int, int]
) -> list[tuple[float, float]]:
    left, top, right, bottom = box
    step = (right - left) / max(1, total - 1)
    return [(left + (offset + i) * step, bottom - (v - low) / span * (bottom - top)) for i, v in enumerate(series)]


def _enlarged(picture: Tensor, how: Image.Resampling) -> tuple[Image.Image, int]:
    image = Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())
    scale = max(1, -(-LEAST_SIDE // max(1, min(image.size))))
    scale = min(scale, max(1, 4096 // max(image.size)))
    return image.resize((image.width * scale, image.height * scale), how), scale


def _dimmed(picture: Tensor, masks: Tensor) -> Tensor:
    """The picture (H, W, 3) with less light where no mask (N, H, W) is; as it is if there is no mask at all."""
    if not (masks > 0.5).any():
        return picture
    covered = masks.amax(0)[..., None].clamp(0, 1)
    return picture * (DIMMED + (1 - DIMMED) * covered)


def _rim(mask: Tensor, size: tuple[int, int], width: int) -> Image.Image:
    """The inner edge of a mask (H, W) in a picture of size (w, h); the picture's own edge is none."""
    inside = Image.fromarray(((mask > 0.5) * 255).byte().cpu().numpy()).resize(size, Image.Resampling.NEAREST)
    outside = torch.from_numpy(np.asarray(inside) == 0).float()[None, None]
    rows = max_pool2d(outside, (2 * width + 1, 1), stride=1, padding=(width, 0))
    near = max_pool2d(rows, (1, 2 * width + 1), stride=1, padding=(0, width))[0, 0] > 0
    return Image.fromarray(((near & (outside[0, 0] == 0)) * 255).byte().numpy())


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
