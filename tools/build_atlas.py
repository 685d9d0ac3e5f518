"""Rasterise the icon sets into the shipped atlas (developers only; needs ``resvg-py`` and the three npm packages).

    npm i @iconify-json/noto @iconify-json/fluent-emoji-flat @iconify-json/twemoji
    python -m concept_atelier.tools.build_atlas node_modules

The sheet has one row per object and one column per hand, in the order of ``objects.json``.
"""

import argparse
import io
import json
from pathlib import Path

from PIL import Image

from ..lab.world.atlas import ATLAS_FILE, OBJECTS_FILE, TILE


def svg_of(icon_set: dict, slug: str) -> str:
    """The SVG text of one icon; aliases without a transformation are followed."""
    name = icon_set.get("aliases", {}).get(slug, {}).get("parent", slug)
    icon = icon_set["icons"][name]
    width = icon.get("width", icon_set.get("width", 16))
    height = icon.get("height", icon_set.get("height", 16))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{TILE}" height="{TILE}">{icon["body"]}</svg>'
    )


def rasterise(svg: str) -> Image.Image:
    """One icon, cropped to what it covers and scaled to fill the tile."""
    import resvg_py

    drawn = resvg_py.svg_to_bytes(svg_string=svg, width=4 * TILE, height=4 * TILE)
    large = Image.open(io.BytesIO(bytes(drawn))).convert("RGBA")
    icon = large.crop(large.getchannel("A").getbbox())
    icon.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    if max(icon.size) < TILE:
        scale = TILE / max(icon.size)
        icon = icon.resize((round(icon.width * scale), round(icon.height * scale)), Image.Resampling.LANCZOS)
    tile = Image.new("RGBA", (TILE, TILE))
    tile.paste(icon, ((TILE - icon.width) // 2, (TILE - icon.height) // 2))
    return tile


def build(node_modules: Path) -> Image.Image:
    """The whole sheet."""
    world = json.loads(OBJECTS_FILE.read_text())
    sets = [json.loads((node_modules / hand["package"] / "icons.json").read_text()) for hand in world["hands"].values()]
    sheet = Image.new("RGBA", (TILE * len(sets), TILE * len(world["objects"])))
    for row, entry in enumerate(world["objects"]):
        for column, icon_set in enumerate(sets):
            sheet.paste(rasterise(svg_of(icon_set, entry["slug"])), (column * TILE, row * TILE))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("node_modules", type=Path)
    sheet = build(parser.parse_args().node_modules)
    sheet.save(ATLAS_FILE, optimize=True)


if __name__ == "__main__":
    main()
