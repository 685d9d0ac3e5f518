"""Ingredients in safetensors files."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

from torch import Tensor

from ..files import load_tensors
from ..files.json_texts import a_list, a_text, a_whole
from ..files.metadata import a_number, map_in, number_in, texts_in, whole_in
from ..messages import listed, plain, shown
from .activations import Kind, Origin
from .bank import ConceptBank
from .registry import CODERS

FORMAT = "concept-atelier ingredients"
_COUNTS = ("seeds", "pictures", "examples", "corrections")
"""Whole numbers in the metadata that reports show, of finders and of what is learnt from masks."""
_TENSORS = ("directions", "centre", "scale", "peaks", "usual", "stability")


def bank_tensors(bank: ConceptBank) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A bank as the tensors and metadata of a file."""
    tensors = {name: getattr(bank, name).clone() for name in _TENSORS}  # a file holds no memory twice
    tensors |= {} if bank.halves is None else {"halves": bank.halves.clone()}
    tensors |= {f"extra.{name}": tensor.clone() for name, tensor in bank.extra.items()}
    own = {
        "format": FORMAT,
        "kind": bank.kind,
        "names": json.dumps(bank.names),
        "origin": json.dumps(asdict(bank.origin)),
    }
    return tensors, {**bank.metadata, **own}


def load_bank(path: Path) -> ConceptBank:
    """Read a file of :func:`bank_tensors`.

    Raises ``FileNotFoundError``, and ``ValueError`` for a file of another kind, a damaged one, and one of a method that
    this version does not have.
    """
    return read_bank(*load_tensors(path), plain(Path(path).name))


def read_bank(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], named: str) -> ConceptBank:
    """A bank out of the tensors and metadata of a file, which messages call ``named``. Raises ``ValueError`` as
    :func:`load_bank` does."""
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{named} holds no ingredients of this pack; choose a file that Save Ingredients wrote")
    kind = metadata.get("kind", "")
    if kind not in CODERS:
        raise ValueError(f"{named} was found by the method {shown(kind)}, which this version does not have; update it")
    try:
        origin = read_origin(map_in(metadata, "origin", named), f"the origin in {named}")
        names = tuple(texts_in(metadata, "names", named))
        parts = [tensors[name].float() for name in _TENSORS if name in tensors]
        if len(parts) < len(_TENSORS):
            raise ValueError(f"{named} is damaged (it lacks {listed({*_TENSORS} - {*tensors})}); save them again")
        numbers = {"explained": f"{number_in(metadata, 'explained', named, 1.0):g}"} if "explained" in metadata else {}
        if "active" in metadata:
            numbers["active"] = f"{number_in(metadata, 'active', named, float(len(names))):g}"
        numbers |= {key: str(whole_in(metadata, key, named)) for key in _COUNTS if key in metadata}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{named} is damaged ({plain(str(error), 200)}); save the ingredients again") from error
    extra = {key.removeprefix("extra."): tensor for key, tensor in tensors.items() if key.startswith("extra.")}
    own = ("format", "kind", "names", "origin")
    rest = {key: text for key, text in metadata.items() if key not in own} | numbers
    halves = tensors["halves"].float() if "halves" in tensors else None
    try:
        directions, centre, scale, peaks, usual, stability = parts
        bank = ConceptBank(directions, names, kind, origin, centre, scale, peaks, usual, stability, extra, rest, halves)
    except ValueError as error:
        raise ValueError(f"{named} is damaged ({plain(str(error), 300)}); save the ingredients again") from error
    _check_codes(bank, named)
    return bank


def read_origin(fields: Mapping[str, Any], where: str) -> Origin:
    """Where activations come from. Raises ``ValueError`` for fields of another kind, ``KeyError`` for missing ones."""
    kind, model, site = (a_text(fields[name], where) for name in ("kind", "model", "site"))
    if kind not in get_args(Kind):
        raise ValueError(f"{where} is {shown(kind)}, expected one of {listed(get_args(Kind))}")
    fingerprint = tuple(a_number(one, where) for one in a_list(fields["fingerprint"], where))
    noise = fields.get("noise")
    level = None if noise is None else a_number(noise, where)
    text = a_text(fields.get("text", ""), where)
    return Origin(cast(Kind, kind), model, fingerprint, site, a_whole(fields["width"], where), level, text)


def _check_codes(bank: ConceptBank, named: str) -> None:
    """Raises ``ValueError`` for a bank whose method cannot code with what the file holds."""
    if not bool((bank.scale > 0).all() and (bank.peaks > 0).all()):
        raise ValueError(f"{named} is damaged (scale and peaks must be above 0); save the ingredients again")
    try:
        CODERS[bank.kind](bank.centre[None], bank.directions, bank.extra)
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"{named} is damaged ({plain(str(error), 200)}); save the ingredients again") from error
