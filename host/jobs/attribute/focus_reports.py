"""How much of a word's attention lies outside its mask, by block and noise level, in sentences and as CSV."""

import csv
import io
import re

from torch import Tensor

from ....core.attribute.focus import Focus

SHOWN = 12
"""Most blocks that the sentences list; the CSV has all layers."""


def described(found: Focus, word: str) -> str:
    """What was found, for people: the share, by noise level, by block, and the layers with most and least outside."""
    by_layer = found.outside.mean(1)
    most = [_named(found.layers[index], by_layer[index]) for index in by_layer.argsort(descending=True)[:3].tolist()]
    least = int(by_layer.argmin())
    levels = [_named(f"{level:.2g}", share) for level, share in zip(found.levels, found.outside.mean(0), strict=True)]
    lines = [
        f"{found.share:.0%} of the attention to {word} lies outside its mask; spread evenly it would be "
        f"{found.chance:.0%}.",
        f"By noise level, from 0 (clean) to 1: {', '.join(levels)}.",
        f"Layers with most attention outside: {', '.join(most)}. The layer with least: "
        f"{_named(found.layers[least], by_layer[least])}.",
    ]
    blocks = blocks_of(found)
    worst = sorted(blocks, key=lambda block: float(blocks[block].mean()), reverse=True)[:SHOWN]
    for block in (block for block in blocks if block in worst):
        at_each = ", ".join(f"{share:.0%}" for share in blocks[block].tolist())
        lines.append(f"{block}: {float(blocks[block].mean()):.0%} (at each level: {at_each})")
    if len(blocks) > SHOWN:
        lines.append(f"These are the {SHOWN} of {len(blocks)} blocks with most attention outside; the CSV has all.")
    return "\n".join(lines)


def blocks_of(found: Focus) -> dict[str, Tensor]:
    """Block of the model to its share (V,) outside at each level, the mean over its layers, in the model's order."""
    members: dict[str, list[int]] = {}
    for number, layer in enumerate(found.layers):
        members.setdefault(block_of(layer), []).append(number)
    return {block: found.outside[numbers].mean(0) for block, numbers in members.items()}


def block_of(layer: str) -> str:
    """The block that a layer belongs to, by its name: ``down_blocks.1`` of ``down_blocks.1.attentions.0...attn2``,
    ``mid_block`` of ``mid_block.attentions.0...attn2``."""
    name = layer.removeprefix("diffusion_model.")
    block = re.match(r"\w+s\.\d+|\w+", name)
    return block.group() if block else name


def focus_csv(found: Focus) -> str:
    """A line for each layer: its block, its mean share outside, and the share at each level; at the end one for all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", "block", "mean", *(f"level {level:.2g}" for level in found.levels)])
    rows = [*zip(found.layers, map(block_of, found.layers), found.outside, strict=True)]
    for layer, block, shares in [*rows, ("all", "all", found.outside.mean(0))]:
        writer.writerow([layer, block, f"{float(shares.mean()):.4f}", *(f"{share:.4f}" for share in shares.tolist())])
    return text.getvalue()


def _named(name: str, share: Tensor) -> str:
    return f"{name} {float(share):.0%}"
