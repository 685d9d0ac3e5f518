"""Skills in safetensors files: for each weight positions (int32) and values, sparse.

Values in float16 are divided by a power of two first, so that small differences keep their bits; the exponents stand
in the metadata with the sizes.
"""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from ..files import load_tensors
from ..files.metadata import map_in
from ..messages import plain
from .skill import Skill
from .sparse import SparseChange

FORMAT = "concept-atelier skill"
PRECISIONS = ("float16", "exact")


def skill_tensors(skill: Skill, precision: str = "float16") -> tuple[dict[str, Tensor], dict[str, str]]:
    """A skill as the tensors and metadata of a file; ``float16`` needs 6 bytes a parameter, ``exact`` keeps every bit.

    Raises ``ValueError`` for a skill that changes nothing or is not finite.
    """
    if not len(skill):
        raise ValueError("this skill changes nothing, so there is nothing to save; keep a greater share")
    tensors: dict[str, Tensor] = {}
    weights: dict[str, list[int]] = {}
    for name, change in skill.changes.items():
        if not bool(torch.isfinite(change.values).all()):
            raise ValueError(f"the skill is not finite (NaN or infinite, in {plain(name)}); localise it again")
        exponent = 0
        values = change.values
        if precision == "float16" and len(values):
            exponent = math.frexp(float(values.abs().max()))[1]
            values = (values.double() * 2.0**-exponent).to(torch.float16)
        tensors[f"{name}.index"], tensors[f"{name}.values"] = change.index, values
        weights[name] = [*change.size, exponent]
    own = {
        "format": FORMAT,
        "family": skill.family,
        "base": skill.base,
        "weights": json.dumps(weights),
        "sizes": json.dumps(dict(skill.sizes)),
    }
    return tensors, {**skill.metadata, **own}


def load_skill(path: Path) -> Skill:
    """Read a file of :func:`skill_tensors`.

    Raises ``FileNotFoundError``, and ``ValueError`` for a file of another kind and a damaged one.
    """
    tensors, metadata = load_tensors(path)
    named = plain(Path(path).name)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{named} holds no skill of this pack; choose a file that Save Skill Patch wrote")
    try:
        weights, sizes = (map_in(metadata, key, named) for key in ("weights", "sizes"))
        changes = {name: _change(tensors, name, *map(int, facts)) for name, facts in weights.items()}
        sizes = {str(name): int(size) for name, size in sizes.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{named} is damaged ({plain(str(error), 200)}); save the skill again") from error
    own = ("format", "family", "base", "weights", "sizes")
    rest = {key: text for key, text in metadata.items() if key not in own}
    return Skill(changes, sizes, metadata.get("family", ""), metadata.get("base", ""), rest)


def _change(tensors: dict[str, Tensor], name: str, rows: int, columns: int, exponent: int) -> SparseChange:
    values = tensors[f"{name}.values"]
    if values.dtype == torch.float16:
        values = (values.double() * 2.0**exponent).float()
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name} is not finite")
    return SparseChange(tensors[f"{name}.index"].to(torch.int32), values, (rows, columns)).checked()
