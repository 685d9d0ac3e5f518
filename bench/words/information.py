"""What words tell about a picture: each without the rest of its caption, and how much of it a synonym tells too.

Information is that of DiffusionPID (arXiv 2406.05191), see ``core/attribute/information.py``.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.attention.resize import resize_maps
from ...core.attribute.information import InformationSettings, pair_information, word_information
from ...core.backbone import Backbone
from ...lab.world.atlas import load_atlas
from ..drawing import SIDE
from ..summary import interval
from .cases import Word, WordCase

SHARES = {
    "synonym": "redundancy with a synonym, as a share of what the name tells",
    "unrelated": "redundancy with an unrelated word",
}


def alone_maps(backbone: Backbone, case: WordCase, latent: Tensor, words: Sequence[Word], levels: int) -> Tensor:
    """(N, H, W): what each word tells beyond no text at all."""
    settings = InformationSettings(draws=levels)
    maps = word_information(
        backbone, latent, case.caption, [word.text for word in words], settings, alone=True, seed=case.seed
    )
    return resize_maps(maps, (SIDE, SIDE), "bilinear")


@torch.no_grad()
def redundancy(backbone: Backbone, case: WordCase, levels: int) -> dict[str, Any] | None:
    """Of an object that has synonyms: which share of what its name tells a synonym tells too, and a word for another
    object that is not there, both in the sentence "a photo of a <name> <word>". None where no object has synonyms."""
    rng = random.Random(f"redundancy:{case.seed}")
    there = {word.text for word in case.words if word.kind == "name"}
    kinds = load_atlas().of_split("train")
    named = next((kind for kind in kinds if kind.name in there and kind.synonyms), None)
    if named is None:
        return None
    others = [kind.name for kind in kinds if kind.name not in there and not {kind.name} & set(named.synonyms)]
    words = {"synonym": rng.choice(named.synonyms), "unrelated": rng.choice(others)}
    latent, settings = backbone.encode_image(case.picture), InformationSettings(draws=levels)
    shares = {}
    for key, word in words.items():
        prompt = f"a photo of a {named.name} {word}"
        found = pair_information(backbone, latent, prompt, (named.name, word), settings, seed=case.seed)
        whole = float((found.redundancy + found.unique_first).sum())
        shares[key] = round(float(found.redundancy.sum()) / whole, 4) if whole > 0 else None
    return {"name": named.name, "words": words, "shares": shares}


def shared_information(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """``redundancy``: means of both shares, and of their difference; nothing where none were measured."""
    found = [row["redundancy"]["shares"] for row in rows if row.get("redundancy")]
    found = [shares for shares in found if None not in shares.values()]
    if not found:
        return {}
    means = {key: interval([shares[key] for shares in found], seed) for key in SHARES}
    more = interval([shares["synonym"] - shares["unrelated"] for shares in found], seed)
    return {"redundancy": {"objects": len(found), **means, "more": more}}
