"""Names of the weights of CLIP text encoders: in transformers, in ComfyUI and in files."""

import re
from collections.abc import Iterable, Mapping

from ....core.backbone import TextChanges, TextWeight
from ....core.messages import listed
from ....core.types import LowRank

_NAME = re.compile(r"encoder\.layers\.\d+\.(?:self_attn\.(?:q|k|v|out)_proj|mlp\.fc[12])\.(?:weight|bias)$")


def text_name(key: str) -> str | None:
    """The name of :class:`~....core.backbone.TextWeight` in a longer one, or None for another parameter."""
    found = _NAME.search(key)
    return found.group() if found and (found.start() == 0 or key[found.start() - 1] == ".") else None


def check_text_changes(changes: TextChanges, weights: Iterable[TextWeight], foreign: str) -> None:
    """Raise ``ValueError``, beginning with ``foreign``, unless every change names one of the weights and fits it."""
    shapes = {(weight.encoder, weight.name): weight.weight.shape for weight in weights}
    named = {(encoder, name): change for encoder, of in changes.items() for name, change in of.items()}
    unknown = [f"{encoder} {name}" for encoder, name in named if (encoder, name) not in shapes]
    if unknown:
        raise ValueError(f"{foreign}: this text encoder has no {listed(unknown, 3)}")
    for key, change in named.items():
        want, given = shapes[key], (change.checked() if isinstance(change, LowRank) else change).shape
        if given != (want[0], want[1:].numel()):
            raise ValueError(f"{foreign}: {' '.join(key)} is {tuple(want)} here, its change is {given}")


def check_modules(modules: Mapping[str, str], weights: Iterable[TextWeight]) -> None:
    """Raise ``ValueError`` unless every module has one of the weights."""
    known = {(weight.encoder, weight.name.rpartition(".")[0]) for weight in weights}
    unknown = [f"{encoder} {name}" for encoder, name in modules.items() if (encoder, name) not in known]
    if unknown:
        raise ValueError(f"the text encoders have no {listed(unknown, 3)}")
