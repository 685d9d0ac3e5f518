"""Pictures for people: masks over a picture, heat maps with their words, curves. PIL in, IMAGE tensors out."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

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


def overlay_masks(picture: Tensor, masks: Tensor, labels: Sequence[str]) -> Tensor:
    """Tint each mask over a picture and write its label on it.

    Args:
        picture: (H, W, 3) in 0..1.
        masks: (N, H, W) in 0..1.
        labels: N texts.

    Returns:
        (h, w, 3) in 0..1, enlarged to at least 320 pixels a side so that labels can be read.
    """
    shown = picture.float().clone()
    for index, mask in enumerate(masks.float()):
        colour = torch.tensor(PALETTE[index % len(PALETTE)]) / 255
        inner = mask[..., None] * 0.45
        shown = shown * (1 - inner) + colour * inner
    canvas, scale = _enlarged(shown, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    for index, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        where = (mask > 0.5).nonzero().float()
        if len(where):
            y, x = (where.mean(0) + 0.5).mul(scale).tolist()
            _tag(draw, (x, y), label, PALETTE[index % len(PALETTE)])
    return _to_tensor(canvas)


def heat_over(picture: Tensor, heat: Tensor, label: str) -> Tensor:
    """A heat map (H, W) in 0..1 over a picture (H, W, 3), with its word in the corner; enlarged as above."""
    position = heat.float().clamp(0, 1).numpy() * (len(HEAT) - 1)
    low = np.clip(position.astype(int), 0, len(HEAT) - 2)
    colour = HEAT[low] + (HEAT[low + 1] - HEAT[low]) * (position - low)[..., None]
    grey = picture.float().mean(-1, keepdim=True)
    canvas, _ = _enlarged(0.35 * grey + 0.65 * torch.from_numpy(colour), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(18)
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    _tag(draw, (6 + (right - left) / 2 + 4, 6 + (bottom - top) / 2 + 4), label, (0, 0, 0))
    return _to_tensor(canvas)


def plot_curve(values: Tensor, title: str, size: tuple[int, int] = (300, 480)) -> Tensor:
    """A curve of values (n,), with a running mean and its range on the axis, as (h, w, 3) in 0..1."""
    height, width = size
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    small, large = ImageFont.load_default(13), ImageFont.load_default(16)
    draw.text((12, 8), title, fill=(30, 30, 30), font=large)
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


def _tag(draw: ImageDraw.ImageDraw, centre: tuple[float, float], text: str, colour: tuple[int, int, int]) -> None:
    font = ImageFont.load_default(18)
    left, top, right, bottom = draw.textbbox(centre, text, font=font, anchor="mm")
    draw.rounded_rectangle((left - 5, top - 4, right + 5, bottom + 4), radius=5, fill=colour)
    draw.text(centre, text, fill="white", font=font, anchor="mm")


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
