"""Attention layers of a diffusion transformer inside ComfyUI, as its family's record says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Literal

from torch import Tensor

from ....core.backbone import AttentionKind, AttentionSite
from ...shared.errors import UnsupportedModelError
from ...shared.families import ModelFamily, Transformer
from ..attention.sites import preference_of
from ..names import PREFIX

CallKey = tuple[str, int, int]
"""An attention call of a forward pass: type of the block ("" where ComfyUI gives none), its number, number of the call
inside it."""

BEFORE = "before"
"""The type of block in the keys of calls that a model makes before its blocks, such as those of refiners."""

EntryRole = Literal["key", "value", "text", "pooled"]

_CROSS_LAYERS = (("self", "self_attn"), ("cross", "cross_attn"))
"""Of blocks without joint attention: what their layers read, in the order they run."""


def record_of(family: ModelFamily) -> Transformer:
    """The family's transformer. Raises :class:`~...shared.errors.UnsupportedModelError` for UNets."""
    if family.transformer is None:
        raise UnsupportedModelError(f"{family.title} is no diffusion transformer")
    return family.transformer


def site_table(family: ModelFamily, denoiser: Any) -> dict[CallKey, AttentionSite]:
    """Every attention call of a transformer in the order they run. Names are module paths."""
    record = record_of(family)
    patch = int(getattr(denoiser, record.patch))
    heads = attrgetter(record.heads)
    table: dict[CallKey, AttentionSite] = {}
    for kind, number, path, block in _blocks(record, denoiser):
        count = int(heads(block))
        if "joint" in family.attention:
            table[kind, number, 0] = AttentionSite(path, "joint", None, count, patch)
            continue
        for call, (reads, layer) in enumerate(_CROSS_LAYERS):
            table[kind, number, call] = AttentionSite(f"{path}.{layer}", reads, None, count, patch)  # type: ignore[arg-type]
    return table


Preference = Callable[[], Callable[..., Tensor] | None]


def preferred_attention(family: ModelFamily, denoiser: Any) -> dict[CallKey, Preference]:
    """The calls that may prefer an attention of their own, since ComfyUI 0.34: their checkpoint says so, or a patch.

    They include calls before the blocks, by :data:`BEFORE`, -1 and their number in the pass, and further calls of a
    block after the one that is a site.
    """
    record = record_of(family)
    found: dict[CallKey, Preference] = {}
    for call, module in enumerate(_before_blocks(record, denoiser)):
        found[BEFORE, -1, call] = partial(preference_of, module)
    for kind, number, _, block in _blocks(record, denoiser):
        own = attrgetter(record.heads.rpartition(".")[0])(block) if "." in record.heads else block
        choosing = _choosing(block)
        # SD3's half for the text has an attention module that never runs: the calls begin with the picture's.
        first = choosing.index(own) if own in choosing else 0
        for call, module in enumerate(choosing[first:]):
            found[kind, number, call] = partial(preference_of, module)
    return found


def text_calls(family: ModelFamily, denoiser: Any) -> range:
    """Which attention calls of a pass, before those of its blocks, mix rows of the text alone."""
    record = record_of(family)
    if record.text_blocks is None:
        return range(0)
    first, path = record.text_blocks
    return range(first, first + len(attrgetter(path)(denoiser)))


def block_paths(family: ModelFamily, denoiser: Any) -> list[str]:
    """The module paths of every block, in the order they run."""
    return [path for _, _, path, _ in _blocks(record_of(family), denoiser)]


def transformer_entries(family: ModelFamily, denoiser: Any) -> dict[str, tuple[str, EntryRole]]:
    """The layers by which text enters: name in the checkpoint's layout to ComfyUI's key and what they read."""
    roles: dict[str, EntryRole] = dict.fromkeys(family.pooled_entry, "pooled")
    paths = [""]
    if "joint" in family.attention:
        roles |= dict.fromkeys(family.text_entry, "text")
    else:
        roles |= {layer: "key" if layer.endswith("k_proj") else "value" for layer in family.text_entry}
        paths = [f"{path.removeprefix(PREFIX)}." for path in block_paths(family, denoiser)]
    weights = dict(denoiser.named_parameters())
    names = {f"{path}{layer}.weight": role for path in paths for layer, role in roles.items()}
    return {name: (PREFIX + name, role) for name, role in names.items() if name in weights}


def default_sites(family: ModelFamily, denoiser: Any, view: AttentionKind = "cross") -> tuple[str, ...]:
    """Names of the sites that are recorded unless others are asked for; of a view, where the family's differ."""
    record = record_of(family)
    counts = [len(getattr(denoiser, attribute)) for attribute, _ in record.blocks]
    blocks = [(kind, at) for (_, kind), count in zip(record.blocks, counts, strict=True) for at in range(count)]
    chosen = {blocks[at] for at in record.read_blocks(counts, view)}
    return tuple(site.name for key, site in site_table(family, denoiser).items() if key[:2] in chosen)


@dataclass(frozen=True)
class Rows:
    """Where the rows of text and picture lie in the attention of one forward pass.

    Attributes:
        grid: (h, w) of the picture's tokens.
        text: rows of the text, those that pad it included.
        context: which of them are rows of the conditioning.
        picture: rows of the picture, those that pad it included.
        refined: whether text and picture are refined by themselves before the blocks.
    """

    grid: tuple[int, int]
    text: int
    context: slice
    picture: int
    refined: bool = False

    @property
    def cells(self) -> int:
        """Rows that stand for cells of the grid."""
        return self.grid[0] * self.grid[1]

    @property
    def columns(self) -> Mapping[str, slice]:
        """View to its keys in a joint call."""
        return {"cross": self.context, "self": slice(self.text, self.text + self.cells)}


def rows_of(family: ModelFamily, denoiser: Any, latent_size: tuple[int, int], context: int, encoded: int) -> Rows:
    """The rows of a pass.

    Args:
        family: of the model.
        denoiser: the transformer.
        latent_size: (h, w) of its latent.
        context: rows of the text that the transformer is given.
        encoded: rows that the text encoder gave; FLUX.2 pads them on the left.
    """
    record = record_of(family)
    patch = int(getattr(denoiser, record.patch))
    multiple = getattr(denoiser, record.text_multiple) if record.text_multiple else None
    height, width = (-(-side // patch) for side in latent_size)
    start = max(0, context - encoded) if "joint" in family.attention else 0
    text, picture = _padded(context, multiple), _padded(height * width, multiple)
    return Rows((height, width), text, slice(start, context), picture, record.text_blocks is not None)


def _choosing(module: Any) -> list[Any]:
    """Modules that may prefer an attention, in the order of their definition."""
    return [inside for inside in module.modules() if hasattr(inside, "comfy_attention")]


def _before_blocks(record: Transformer, denoiser: Any) -> list[Any]:
    """Modules outside the blocks that may prefer an attention, in the order they run."""
    blocks = {module for *_, block in _blocks(record, denoiser) for module in block.modules()}
    outside = [module for module in _choosing(denoiser) if module not in blocks]
    if record.text_blocks is None:
        return outside
    before, path = record.text_blocks
    of_text = _choosing(attrgetter(path)(denoiser))
    others = [module for module in outside if module not in of_text]
    return [*others[:before], *of_text, *others[before:]]


def _padded(rows: int, multiple: int | None) -> int:
    return rows if not multiple else -(-rows // multiple) * multiple


def _blocks(record: Transformer, denoiser: Any) -> Iterator[tuple[str, int, str, Any]]:
    """Type, number, path and module of every block, in the order they run."""
    for attribute, kind in record.blocks:
        for number, block in enumerate(getattr(denoiser, attribute)):
            yield kind, number, f"{PREFIX}{attribute}.{number}", block
