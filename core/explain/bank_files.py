"""Ingredients in safetensors files."""

import json
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from ..files import load_tensors
from ..messages import plain, shown
from .activations import Origin
from .bank import ConceptBank
from .registry import CODERS

FORMAT = "concept-atelier ingredients"
_TENSORS = ("directions", "centre", "scale", "peaks", "usual", "stability")


def bank_tensors(bank: ConceptBank) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A bank as the tensors and metadata of a file."""
    tensors = {name: getattr(bank, name).clone() for name in _TENSORS}  # a file holds no memory twice
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
    tensors, metadata = load_tensors(path)
    named = plain(Path(path).name)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{named} holds no ingredients of this pack; choose a file that Save Ingredients wrote")
    kind = metadata.get("kind", "")
    if kind not in CODERS:
        raise ValueError(f"{named} was found by the method {shown(kind)}, which this version does not have; update it")
    try:
        fields = json.loads(metadata["origin"])
        origin = Origin(**{**fields, "fingerprint": tuple(fields["fingerprint"])})
        names = tuple(json.loads(metadata["names"]))
        parts = [tensors[name].float() for name in _TENSORS]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{named} is damaged ({plain(str(error), 200)}); save the ingredients again") from error
    extra = {key.removeprefix("extra."): tensor for key, tensor in tensors.items() if key.startswith("extra.")}
    own = ("format", "kind", "names", "origin")
    rest = {key: text for key, text in metadata.items() if key not in own}
    directions, centre, scale, peaks, usual, stability = parts
    return ConceptBank(directions, names, kind, origin, centre, scale, peaks, usual, stability, extra, rest)
