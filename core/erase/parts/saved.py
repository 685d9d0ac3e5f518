"""Erasures in files: which model they were made on, and reading them again.

A file is an ordinary LoRA file (:func:`...files.lora_tensors`); what else there is to say stands in its metadata, with
a fingerprint of the model that the erasure was made on. It has one number for each text projection, for each other
weight of the denoiser that is changed, and for each weight of a text encoder that is changed (:mod:`...fingerprints`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ...backbone import Backbone, KeyValueWeight, TextChanges, TextWeight
from ...files import check_finite, kohya_key, load_tensors, old_text_key, text_key
from ...files.metadata import a_number, map_in, number_in, numbers_in, texts_in
from ...fingerprints import alike, number_of
from ...messages import listed, plain
from ...types import Change, Erasure
from ...weight_changes import low_rank, whole

TEXT = ("lora_te", "text_encoders.")
"""How keys begin that belong to text encoders, in files of today and in older ones."""


def fingerprint(weights: Sequence[KeyValueWeight]) -> str:
    """A JSON list with a number for each projection, by name."""
    return json.dumps([_rounded(one.weight) for one in sorted(weights, key=lambda one: one.name)])


def load_erasure(
    path: Path,
    weights: Sequence[KeyValueWeight],
    family: str,
    strength: float = 1.0,
    text: Sequence[TextWeight] | None = None,
    others: Mapping[str, tuple[int, int]] | None = None,
    tensors_of_others: Mapping[str, Tensor] | None = None,
) -> Erasure:
    """Read an erasure for a model.

    Args:
        path: a file that Save Erasure as LoRA wrote.
        weights: the model's text projections, as in force.
        family: the model's.
        strength: multiplies the one that the file was saved with.
        text: the weights of its text encoders, as in force; None where no CLIP is connected.
        others: size of each further weight that an erasure may change, by name.
        tensors_of_others: these weights as in force, each read when it is asked for; None leaves them unchecked.

    Raises ``FileNotFoundError``, and ``ValueError`` for a file that holds no erasure, is damaged, or was made on
    another model.
    """
    tensors, metadata = load_tensors(path)
    named = plain(path.name)
    if metadata.get("format") != "concept-atelier erasure":
        raise ValueError(f"{named} holds no erasure of this pack; load it with a LoRA loader")
    check_finite(tensors, named)
    for key in ("concepts", "anchors", "remarks"):  # refused here, by the file's name, not where they are shown
        texts_in({key: "[]", **metadata}, key, named)
    of_text = {key: tensor for key, tensor in tensors.items() if key.startswith(TEXT)}
    if of_text and text is None:
        raise ValueError(f"{named} changes the text encoder; connect the CLIP that the erasure was made on")
    sizes = {**(others or {}), **{one.name: tuple(one.weight.shape) for one in weights}}
    keys = {kohya_key(name, family): name for name in sizes}
    strange = sorted({key.split(".")[0] for key in tensors if key not in of_text} - set(keys))
    same = same_base(metadata.get("base", ""), weights, named)
    if strange or not same or not _same_others(metadata, tensors_of_others, named):
        trait = f"it changes {listed(strange, 2)}, which this model does not have" if strange else "its weights differ"
        raise ValueError(
            f"{named} was made on another model ({trait}); load the model that the erasure was made on, or make it anew"
        )
    saved = number_in(metadata, "strength", named, 1.0)
    factors: dict[str, Change] = {}
    for key, name in keys.items():
        if change := _change(tensors, key, 1 / saved if saved else 1.0, named):
            if change.shape != sizes[name]:
                raise ValueError(f"{named} is damaged: its change of {name} is of the size {change.shape}")
            factors[name] = change
    changed = _of_encoders(metadata, text or (), named)
    changes = _text_changes(of_text, changed, metadata.get("family", family), 1 / saved if saved else 1.0, named)
    if not _same_text(metadata, text or (), named):
        raise ValueError(f"{named} was made on another text encoder; load the one that the erasure was made on")
    return Erasure(factors, saved * strength, family, metadata, changes)


def _of_encoders(metadata: Mapping[str, str], weights: Sequence[TextWeight], named: str) -> Sequence[TextWeight]:
    """Those weights whose text encoder a file changes: a model of another family may have further ones, and keys do not
    say which is meant."""
    read = map_in(metadata, "text_base", named) if metadata.get("text_base") else {}
    encoders = {name.partition(" ")[0] for name in read}
    return [one for one in weights if one.encoder in encoders] if encoders else weights


def _text_changes(
    tensors: Mapping[str, Tensor], weights: Sequence[TextWeight], family: str, scale: float, named: str
) -> dict[str, dict[str, Change]]:
    """The changes of text encoders in a file that was made on a family. Raises ``ValueError`` for such as these
    encoders do not have."""
    found: dict[str, dict[str, Change]] = {}
    known: set[str] = set()
    old = any(key.startswith(TEXT[1]) for key in tensors)
    for weight in weights:
        key = old_text_key(weight.encoder, weight.name) if old else text_key(weight.encoder, weight.name, family)
        bias = key.endswith(".bias")
        change = _bias(tensors, key, scale) if bias else _change(tensors, key, scale, named)
        if change is None:
            continue
        size = weight.weight.shape[0], weight.weight.shape[1:].numel()
        if change.shape != size:
            raise ValueError(f"{named} is for another text encoder: its change of {weight.name} is {change.shape}")
        found.setdefault(weight.encoder, {})[weight.name] = change
        known |= {one for one in tensors if one.startswith(f"{key.removesuffix('.bias')}.")}
    strange = sorted(set(tensors) - known)
    if strange:
        raise ValueError(f"{named} is for another text encoder: this one has no {listed(strange, 2)}")
    return found


def _same_text(metadata: Mapping[str, str], weights: Sequence[TextWeight], named: str) -> bool:
    """Whether text encoder weights are those that a file's ``text_base`` was taken of."""
    read = map_in(metadata, "text_base", named) if metadata.get("text_base") else {}
    wanted = {name: a_number(number, f"text_base of {named}") for name, number in read.items()}
    found = {f"{one.encoder} {one.name}": one.weight for one in weights}
    return all(name in found and alike([number_of(found[name])], [number]) for name, number in wanted.items())


def _same_others(metadata: Mapping[str, str], held: Mapping[str, Tensor] | None, named: str) -> bool:
    """Whether further weights of the denoiser are those that a file's ``changed_base`` was taken of; files from before
    it was written are taken for any model's."""
    if held is None or not metadata.get("changed_base"):
        return True
    wanted = map_in(metadata, "changed_base", named)
    numbers = {name: a_number(number, f"changed_base of {named}") for name, number in wanted.items()}
    return all(name in held and alike([number_of(held[name])], [number]) for name, number in numbers.items())


def _bias(tensors: Mapping[str, Tensor], key: str, scale: float) -> Change | None:
    found = tensors.get(f"{key.removesuffix('.bias')}.diff_b")
    return None if found is None else whole(found.float() * scale)


def base_of(backbone: Backbone, factors: Mapping[str, Change], text: TextChanges) -> dict[str, str]:
    """What a file keeps of the model that an erasure was made on: ``base``, the fingerprint of the text projections
    where the denoiser is changed; ``changed_base``, a number for each other weight of it that is changed; and
    ``text_base``, a number for each text encoder weight that is changed."""
    found: dict[str, str] = {}
    if factors:
        weights = backbone.key_value_weights()
        found["base"] = fingerprint(weights)
        others = set(factors) - {one.name for one in weights}
        if others:
            held = backbone.attention_tensors()  # in its order: rows of one weight are read together
            found["changed_base"] = json.dumps({name: _rounded(held[name]) for name in held if name in others})
    if text:
        changed = [one for one in backbone.text_weights() if one.name in text.get(one.encoder, {})]
        found["text_base"] = json.dumps({f"{one.encoder} {one.name}": _rounded(one.weight) for one in changed})
    return found


def same_base(saved: str, weights: Sequence[KeyValueWeight], named: str = "the file") -> bool:
    """Whether a fingerprint is that of these weights; files from before fingerprints were written have an empty one,
    which is taken for any model's."""
    if not saved:
        return True
    found, wanted = (numbers_in({"base": one}, "base", named) for one in (fingerprint(weights), saved))
    return alike(found, wanted)


def _rounded(weight: Tensor) -> float:
    return round(number_of(weight), 4)


def _change(tensors: Mapping[str, Tensor], key: str, scale: float, named: str) -> Change | None:
    """The change of a weight. Raises ``ValueError`` naming the file for parts that lack or do not fit each other."""
    up, down = (tensors.get(f"{key}.lora_{part}.weight") for part in ("up", "down"))
    alpha = tensors.get(f"{key}.alpha")
    if f"{key}.diff" not in tensors and up is None and down is None and alpha is None:
        return None
    try:
        held = [one for one in (tensors.get(f"{key}.diff"), up, down) if one is not None]
        if not all(one.is_floating_point() for one in held):
            raise ValueError("is saved in whole numbers, without the scale that belongs to them")
        if f"{key}.diff" in tensors:
            return whole(tensors[f"{key}.diff"].float() * scale)
        if up is None or down is None or not (down.ndim and down.numel()) or (alpha is not None and alpha.numel() != 1):
            raise ValueError("needs lora_up, lora_down and one number as alpha")
        return low_rank(up, down, scale * (1.0 if alpha is None else float(alpha) / len(down)))
    except ValueError as error:
        raise ValueError(f"{named} is damaged: {plain(key)} {error}; save the erasure again") from error
