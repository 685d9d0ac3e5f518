"""Concept heads in safetensors files."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast, get_args

import torch
from torch import Tensor

from ...explain.bank import ConceptBank
from ...explain.bank_files import bank_tensors, read_bank, read_origin
from ...files import load_tensors
from ...files.metadata import map_in, texts_in
from ...messages import listed, plain, shown
from .features import FeatureKind, HeadFeatures, Scaling
from .head import ConceptHead, Fitted
from .registry import LAYERS

FORMAT = "concept-atelier concept head"
_OWN = ("format", "kind", "layer", "names", "classes", "origin", "site", "bank")
_SCALES = ("given.centre", "given.scale", "made.centre", "made.scale", "weights", "bias")
_LAYER, _BANK = "layer.", "bank."


def head_tensors(head: ConceptHead) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A head as the tensors and metadata of a file."""
    fitted = head.fitted
    scales = (fitted.given.centre, fitted.given.scale, fitted.made.centre, fitted.made.scale)
    tensors = dict(zip(_SCALES, (*scales, fitted.weights, fitted.bias), strict=True))
    tensors |= {_LAYER + name: tensor for name, tensor in fitted.parameters.items()}
    own = {
        "format": FORMAT,
        "kind": head.kind,
        "layer": head.layer,
        "names": json.dumps(head.names),
        "classes": json.dumps(head.classes),
        "origin": json.dumps(asdict(head.origin)),
        "site": head.site,
    }
    if head.texts.numel():
        tensors["texts"] = head.texts
    if head.bank is not None:
        of_bank, said = bank_tensors(head.bank)
        tensors |= {_BANK + name: tensor for name, tensor in of_bank.items()}
        own["bank"] = json.dumps(said)
    return {name: tensor.clone() for name, tensor in tensors.items()}, {**head.metadata, **own}


def load_head(path: Path) -> ConceptHead:
    """Read a file of :func:`head_tensors`.

    Raises ``FileNotFoundError``, and ``ValueError`` for a file of another kind, a damaged one, and one with a concept
    layer that this version does not have.
    """
    tensors, metadata = load_tensors(path)
    named = plain(Path(path).name)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{named} holds no concept head of this pack; choose a file that Save Concept Head wrote")
    layer, kind = metadata.get("layer", ""), metadata.get("kind", "")
    if layer not in LAYERS or kind not in get_args(FeatureKind):
        raise ValueError(
            f"{named} has the concept layer {shown(layer)} on {shown(kind)}, which this version does not know; "
            "update it"
        )
    lacking = [name for name in _SCALES if name not in tensors]
    if lacking:
        raise ValueError(f"{named} is damaged (it lacks {listed(lacking)}); save the concept head again")
    try:
        head = ConceptHead(
            cast(FeatureKind, kind),
            tuple(texts_in(metadata, "names", named)),
            tuple(texts_in(metadata, "classes", named)),
            layer,
            _fitted(tensors),
            read_origin(map_in(metadata, "origin", named), f"the origin in {named}"),
            metadata.get("site", ""),
            tensors["texts"].float() if "texts" in tensors else torch.zeros(0, 0),
            _bank(tensors, metadata, named) if "bank" in metadata else None,
            {key: text for key, text in metadata.items() if key not in _OWN},
        )
        _try(head)
    except (KeyError, TypeError, RuntimeError, IndexError) as error:
        raise ValueError(f"{named} is damaged ({plain(str(error), 200)}); save the concept head again") from error
    return head


def _fitted(tensors: Mapping[str, Tensor]) -> Fitted:
    one = {name: tensors[name].float() for name in _SCALES}
    given, made = (Scaling(one[f"{name}.centre"], one[f"{name}.scale"]) for name in ("given", "made"))
    parameters = {
        name.removeprefix(_LAYER): tensor.float() for name, tensor in tensors.items() if name.startswith(_LAYER)
    }
    return Fitted(given, made, parameters, one["weights"], one["bias"])


def _bank(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], named: str) -> ConceptBank:
    said = {key: str(text) for key, text in map_in(metadata, "bank", named).items()}
    parts = {name.removeprefix(_BANK): tensor for name, tensor in tensors.items() if name.startswith(_BANK)}
    return read_bank(parts, said, named)


def _try(head: ConceptHead) -> None:
    """Raises for a head whose parts do not fit together or are not finite: it judges one picture of zeros."""
    count = len(head.fitted.given.centre)
    tokens = torch.zeros(1, 1, len(head.fitted.parameters["centre"])) if LAYERS[head.layer].local else None
    blank = HeadFeatures(torch.zeros(1, count), head.names, head.origin, head.kind, None, tokens, (1, 1), head.site)
    if not bool(torch.isfinite(head.judge(blank).probabilities).all()):
        raise ValueError("its numbers are not finite (NaN or infinite); train the concept head again")
