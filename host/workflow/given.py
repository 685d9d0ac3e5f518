"""What a node is given, checked before it works: sockets of the right shape, widgets in their range.

ComfyUI's page checks what people type; what comes by a link nobody checks. A latent of a video model, an empty batch
or a number out of range would end in an error of torch that names nothing, or in a wrong result.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...core.attack.run import Attack
from ...core.evaluate.prototypes import Prototypes
from ...core.explain.activations import Activations
from ...core.explain.bank import ConceptBank, ConceptCodes
from ...core.explain.sampled import Recording
from ...core.explain.scores import PictureScores
from ...core.messages import shown
from ...core.recognise.embeddings.decompose import Alignment
from ...core.recognise.heads.head import ConceptHead
from ...core.surgery.heads.offsets import HeadOffsets
from ...core.surgery.skill import Skill
from ...core.surgery.traces.audit import InsideAudit
from ...core.surgery.traces.vectors import ConceptVectors
from ...core.types import Concepts, ConceptTokens, Erasure, Source
from ..schema import io
from ..shared.captures import AttentionCapture
from ..shared.handles import ClipHandle, ModelHandle, VaeHandle
from .values import BadValueError, as_type, check_range
from .widgets import WIDGET_TYPES

N = TypeVar("N", bound=type[io.ComfyNode])


def checked(node: N) -> N:
    """The node class, whose ``execute`` refuses what does not fit its inputs, by the node's and the input's name.

    Values come in the type of their input: ``"5"`` for a whole number as 5.
    """
    execute = node.execute.__func__  # type: ignore[attr-defined]
    own = _checked_by_itself(node)

    @functools.wraps(execute)
    def checked_execute(cls: type[io.ComfyNode], *args: Any, **given: Any) -> Any:
        return execute(cls, *args, **check_given(cls.define_schema(), given, own))

    node.execute = classmethod(checked_execute)  # type: ignore[method-assign, assignment]
    return node


def check_given(schema: Any, given: Mapping[str, Any], own: Collection[str] = ()) -> dict[str, Any]:
    """What a node is given, widgets in their type; optional inputs that are given nothing are left out.

    Args:
        own: inputs whose range and choices the node checks itself, as those that its ``validate_inputs`` names.

    Raises:
        BadValueError: naming the node, the input, what was expected and what was given.
    """
    absent = {entry.id for entry in schema.inputs if entry.optional and given.get(entry.id) is None}
    found = {name: value for name, value in given.items() if name not in absent}  # the node's own default serves
    for entry in schema.inputs:
        if entry.id in found:
            try:
                found[entry.id] = _check(given[entry.id], entry, entry.id in own)
            except BadValueError as error:
                raise BadValueError(f'{schema.display_name}, input "{entry.id}": {error}') from None
    return found


def _checked_by_itself(node: type[io.ComfyNode]) -> Collection[str]:
    """Inputs that the node's own ``validate_inputs`` names; ComfyUI's checks of their range are off, too."""
    validate = inspect.getattr_static(node, "validate_inputs", None)
    if not isinstance(validate, classmethod) or validate is inspect.getattr_static(io.ComfyNode, "validate_inputs"):
        return ()
    return tuple(inspect.signature(validate.__func__).parameters)[1:]


def _check(value: Any, entry: Any, own: bool) -> Any:
    kind = entry.get_io_type()
    if kind in WIDGET_TYPES:
        value = as_type(value, kind)
        if not own:
            check_range(value, entry)
    elif kind in _SOCKETS:
        expected, problem_of = _SOCKETS[kind]
        problem = problem_of(value)
        if problem:
            raise BadValueError(f"expected {expected}, got {problem}")
    return value


def _image_problem(value: Any) -> str:
    if not isinstance(value, Tensor):
        return _described(value)
    fits = value.ndim == 4 and value.shape[-1] in (1, 3, 4) and value.numel() > 0 and value.is_floating_point()
    return "" if fits else _tensor(value)


def _mask_problem(value: Any) -> str:
    if not isinstance(value, Tensor):
        return _described(value)
    fits = value.ndim in (2, 3) or (value.ndim == 4 and value.shape[1] == 1)
    return "" if fits and value.numel() > 0 and not value.is_complex() else _tensor(value)


def _latent_problem(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _described(value)
    samples = value.get("samples")
    if not isinstance(samples, Tensor):
        return f"samples that are {_described(samples)}"
    if samples.ndim == 5 and samples.shape[2] != 1:
        return f"{_tensor(samples)}, the latent of a video"
    # Qwen-Image and its like keep a picture as a video of one frame.
    return "" if samples.ndim in (4, 5) and samples.numel() > 0 and samples.is_floating_point() else _tensor(samples)


def _conditioning_problem(value: Any) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _described(value)
    if not value:
        return "an empty one"
    for entry in value:
        pair = isinstance(entry, Sequence) and len(entry) == 2
        if not pair or not isinstance(entry[0], Tensor) or not isinstance(entry[1], Mapping):
            return f"an entry that is {_described(entry)}"
        if entry[0].ndim != 3 or not entry[0].numel() or not entry[0].is_floating_point():
            return _tensor(entry[0])
        if not bool(torch.isfinite(entry[0]).all()):
            return "values that are not finite (NaN or infinite)"
    return ""


def _part_problem(socket: str) -> Callable[[Any], str]:
    """What else a value is that is plainly no such part; what parts of other packs can do, a backbone finds out."""
    foreign = (*_NO_PARTS, *(handle for name, handle in _HANDLES.items() if name != socket))
    return lambda value: _described(value) if value is None or isinstance(value, foreign) else ""


def _no(kind: type) -> Callable[[Any], str]:
    return lambda value: "" if isinstance(value, kind) else _described(value)


def _concepts_problem(value: Any) -> str:
    if not isinstance(value, Concepts):
        return _described(value)
    return "" if len(value) else "none"


def _pictures_problem(value: Any) -> str:
    fits = isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, Source) for one in value)
    return "" if fits else _described(value)


def _tensor(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _described(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, str | int | float):
        return shown(value)
    return f"a {type(value).__name__}"


def _vision_output_problem(value: Any) -> str:
    return "" if hasattr(value, "image_embeds") else _described(value)


_HANDLES = {"MODEL": ModelHandle, "CLIP": ClipHandle, "VAE": VaeHandle}
_OWN: Mapping[str, tuple[str, type]] = {
    "CONCEPT_TOKENS": ("from Learn or Load Concept Tokens", ConceptTokens),
    "CONCEPT_PROTOTYPES": ("from Load Concept Prototypes", Prototypes),
    "ATTENTION_CAPTURE": ("from Capture Attention", AttentionCapture),
    "ERASURE": ("from Erase Concepts", Erasure),
    "ERASURE_ATTACK": ("from Attack Erasure", Attack),
    "ACTIVATIONS": ("from Record Activations", Activations),
    "ACTIVATION_RECORDING": ("from Record While Sampling", Recording),
    "CONCEPT_BANK": ("from Find, Show or Load Ingredients", ConceptBank),
    "CONCEPT_CODES": ("from Ingredient Masks", ConceptCodes),
    "CONCEPT_SCORES": ("from Show Ingredients", PictureScores),
    "CONCEPT_HEAD": ("from Train or Load Concept Head", ConceptHead),
    "EMBEDDING_ALIGNMENT": ("from Align Text and Pictures", Alignment),
    "SKILL": ("from Localize Skill or Load Skill Patch", Skill),
    "CONCEPT_VECTORS": ("from Find Concept Vectors", ConceptVectors),
    "ERASURE_AUDIT": ("from Audit Erasure Inside", InsideAudit),
    "HEAD_OFFSETS": ("from Scout Heads or Train Head Offsets", HeadOffsets),
}
"""Socket type of ours to where it comes from and the class of what it carries."""

_NO_PARTS = (str, int, float, Tensor, Mapping, list, tuple, Concepts, *(kind for _, kind in _OWN.values()))

_SOCKETS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "MODEL": ("MODEL, from a loader of checkpoints or Load Lab Model", _part_problem("MODEL")),
    "CLIP": ("CLIP, from a loader of checkpoints or Load Lab Model", _part_problem("CLIP")),
    "VAE": ("VAE, from a loader of checkpoints or Load Lab Model", _part_problem("VAE")),
    "CLIP_VISION": ("CLIP_VISION, from Load CLIP Vision or Load Lab CLIP Vision", _part_problem("CLIP_VISION")),
    "CLIP_VISION_OUTPUT": ("CLIP_VISION_OUTPUT, from CLIP Vision Encode or Edit Embedding", _vision_output_problem),
    "IMAGE": ("IMAGE: float (pictures, height, width, 1, 3 or 4 channels), at least one picture", _image_problem),
    "MASK": ("MASK: (masks, height, width), at least one mask", _mask_problem),
    "LATENT": ("LATENT of pictures: float (pictures, channels, h, w), at least one picture", _latent_problem),
    "CONDITIONING": ("CONDITIONING: context (rows, tokens, width) and what goes with it", _conditioning_problem),
    "CONCEPTS": ("CONCEPTS, at least one, from Localize Concepts and its like", _concepts_problem),
    **{socket: (f"{socket}, {source}", _no(kind)) for socket, (source, kind) in _OWN.items()},
    "CONCEPT_PICTURES": ("CONCEPT_PICTURES, from Match Concepts", _pictures_problem),
}
"""Socket type to what is expected, and what says what else a value is (nothing, where it fits)."""
