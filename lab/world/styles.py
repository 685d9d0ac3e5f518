"""Styles: ways to draw an icon, made by code, so that anyone tells them apart at a glance.

Every style keeps the icon's place and, about, its outline. They work at the icon's own 128 pixels; a scene scales the
result down, lines and all.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

COLOURS_OF_FLAT, HATCH = 6, 26
INK = np.array((38, 34, 44), dtype=np.float32)
LIGHTNESS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def render(icon: Image.Image, style: str) -> Image.Image:
    """An RGBA icon in a style. Raises ``KeyError`` naming the styles that exist."""
    if style not in STYLES:
        raise KeyError(f"no style {style!r}; the world has {', '.join(STYLES)}")
    return _RENDERERS[style](icon)


def flat(icon: Image.Image) -> Image.Image:
    """A few plain colours."""
    colours = few_colours(icon)
    return _with_alpha(colours, np.asarray(icon)[..., 3])


def outline(icon: Image.Image) -> Image.Image:
    """Pale colours within dark contours; what is nearly black stays so."""
    colours, alpha = few_colours(icon), np.asarray(icon)[..., 3]
    pale = 255 - 0.36 * (255 - colours)
    lines = np.maximum(rim(alpha, 5), 0.5 * borders(colours, alpha, 2))
    ink = np.maximum(lines, darkness(colours))[..., None]
    return _with_alpha(pale * (1 - ink) + INK * ink, alpha)


def neon(icon: Image.Image) -> Image.Image:
    """Bright contours around a body that is nearly black."""
    colours, alpha = few_colours(icon), np.asarray(icon)[..., 3]
    bright = colours * (255 / colours.max(-1, keepdims=True).clip(90, None))
    lines = np.maximum(rim(alpha, 6), 0.6 * borders(colours, alpha, 2))[..., None]
    return _with_alpha((0.26 * colours + 8) * (1 - lines) + bright * lines, alpha)


def sketch(icon: Image.Image) -> Image.Image:
    """Grey pencil: contours, shades of grey, and hatching over all but the lightest."""
    colours, alpha = few_colours(icon), np.asarray(icon)[..., 3]
    dark = 1 - (colours @ LIGHTNESS) / 255
    y, x = np.mgrid[0 : icon.height, 0 : icon.width].astype(np.float32)
    hatch = np.sin(2 * np.pi * (x + y) / HATCH) > 0.1
    ink = 0.75 * dark + 0.5 * hatch * np.clip(4 * (dark - 0.12), 0, 1)
    ink = np.maximum(np.maximum(rim(alpha, 4), darkness(colours)), ink.clip(0, 0.8))[..., None]
    return _with_alpha(np.repeat(248 * (1 - ink) + 60 * ink, 3, -1), alpha)


def darkness(colours: np.ndarray) -> np.ndarray:
    """How nearly black each pixel is, (h, w) in 0..1."""
    return np.clip((0.3 - (colours @ LIGHTNESS) / 255) / 0.1, 0, 1)


def few_colours(icon: Image.Image, count: int = COLOURS_OF_FLAT) -> np.ndarray:
    """The icon's colours (h, w, 3) float in 0..255, reduced to a few; what is transparent takes no part."""
    pixels = np.asarray(icon)
    solid = pixels[..., 3] >= 128
    strip = Image.fromarray(pixels[solid][None, :, :3])
    palette = strip.quantize(count, Image.Quantize.MEDIANCUT, kmeans=2)
    whole = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).quantize(palette=palette, dither=Image.Dither.NONE)
    smooth = Image.fromarray(np.asarray(whole)).filter(ImageFilter.ModeFilter(5))  # of numbers of colours
    table = np.array(whole.getpalette(), dtype=np.float32).reshape(-1, 3)
    return table[np.asarray(smooth)]


def rim(alpha: np.ndarray, width: int) -> np.ndarray:
    """How much each pixel belongs to the contour within the shape, (h, w) in 0..1."""
    padded = Image.fromarray(np.pad(alpha.astype(np.uint8), width))
    inner = np.asarray(padded.filter(ImageFilter.MinFilter(2 * width + 1)))[width:-width, width:-width]
    return 1 - inner.astype(np.float32) / 255


def borders(colours: np.ndarray, alpha: np.ndarray, width: int) -> np.ndarray:
    """Where plain colours meet within the shape, (h, w) in 0..1; stronger where they differ more."""
    difference = np.zeros(colours.shape[:2], dtype=np.float32)
    down = np.abs(colours[1:] - colours[:-1]).max(-1)
    across = np.abs(colours[:, 1:] - colours[:, :-1]).max(-1)
    difference[1:] = down
    difference[:, 1:] = np.maximum(difference[:, 1:], across)
    difference[alpha < 128] = 0
    strong = Image.fromarray((difference.clip(0, 90) / 90 * 255).astype(np.uint8))
    return np.asarray(strong.filter(ImageFilter.MaxFilter(2 * width - 1))).astype(np.float32) / 255


def _with_alpha(colours: np.ndarray, alpha: np.ndarray) -> Image.Image:
    pixels = np.concatenate([colours.clip(0, 255), alpha[..., None].astype(np.float32)], -1)
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


_RENDERERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "flat": flat,
    "outline": outline,
    "neon": neon,
    "sketch": sketch,
}
STYLES = tuple(_RENDERERS)
