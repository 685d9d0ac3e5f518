"""A quick look at tokens while they are learnt: each drawn alone, small and in few steps."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from ....core.backbone import Backbone
from ....core.learn.parts.class_words import sentence
from ....core.learn.registry import written
from ....core.sampling import draw_each
from ....core.types import ConceptTokens
from ...files.images import to_pil
from ...pictures.labels import write_line

STEPS, MAX_TOKENS = 8, 4
BAND, LETTERS, LEAST_TILE = 22, 15, 128
GROUND, INK = (24, 24, 24), (240, 240, 240)


def draw_tokens(backbone: Backbone, tokens: ConceptTokens, template: str, size: tuple[int, int]) -> Image.Image:
    """One picture of (H, W) pixels per token, side by side, at most four; the same noise at every call."""
    prompts = [sentence([written(tokens, name)], template) for name in tokens.names[:MAX_TOKENS]]
    cells = (max(1, size[0] // backbone.latent_downscale), max(1, size[1] // backbone.latent_downscale))
    with backbone.adapted(tokens.adapter):
        latents = draw_each(backbone, prompts, cells, tokens.placeholders(), steps=STEPS)
    return side_by_side([to_pil(picture.movedim(0, -1)) for picture in backbone.decode_latent(latents)])


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size in a row."""
    width, height = pictures[0].size
    row = Image.new("RGB", (width * len(pictures), height))
    for index, picture in enumerate(pictures):
        row.paste(picture, (index * width, 0))
    return row


def captioned(row: Image.Image, names: Sequence[str], said: str) -> Image.Image:
    """A row of pictures, one a text, with ``said`` above it and each name below its picture, enlarged until a
    picture is wide enough for that (128 pixels)."""
    scale = max(1, -(-LEAST_TILE * len(names) // row.width))
    row = row.resize((row.width * scale, row.height * scale), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (row.width, row.height + 2 * BAND), GROUND)
    canvas.paste(row, (0, BAND))
    draw, tile = ImageDraw.Draw(canvas), row.width / len(names)
    write_line(draw, (row.width / 2, BAND / 2), said, INK, LETTERS, row.width - 8, "mm")
    for index, text in enumerate(names):
        place = ((index + 0.5) * tile, row.height + 1.5 * BAND)
        write_line(draw, place, text, INK, LETTERS, tile - 8, "mm")
    return canvas
