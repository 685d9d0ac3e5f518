"""Unified Concept Editing: concepts taken out of the cross-attention projections in closed form.

Gandikota et al., "Unified Concept Editing in Diffusion Models", WACV 2024, arXiv 2308.14761.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from ...backbone import Backbone, KeyValueWeight, Placeholders
from ...types import Erasure, LowRank
from ..parts.closed_form import Edit, outer_sum, solve
from ..parts.concept_vectors import Combine, ConceptRows, TokenMode, alone, paired, rows_of_each, vectors

Projections = Literal["key", "value", "both"]

OnStep = Callable[[int, int], None]
"""Called with how many steps of how many are done: texts that are encoded, and the rest as one. May raise, to stop."""


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {expected}, got {value}")


@dataclass(frozen=True)
class UceSettings:
    """How to erase. Defaults are the paper's; each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    token_mode: TokenMode = field(
        default="last_subject",
        metadata={
            "help": "Which positions of the encoded text are edited: the concept's last token, its tokens and all that "
            "follows them, padding included, or all positions."
        },
    )
    templates: tuple[str, ...] = field(
        default=("{}",), metadata={"help": "Sentences with {} where the concept goes, to see it in several contexts."}
    )
    combine: Combine = field(
        default="average",
        metadata={"help": "Average the vectors over the templates, or edit those of each template separately."},
    )
    erase_scale: float = field(default=1.0, metadata={"help": "Weight of the erased concepts (s_e), above 0."})
    preserve_scale: float = field(default=1.0, metadata={"help": "Weight of the preserved concepts (s_p), 0 or more."})
    damping: float = field(
        default=0.5, metadata={"help": "Weight of staying near the original (lambda), above 0: higher is gentler."}
    )
    projections: Projections = field(
        default="both", metadata={"help": "Edit keys (where to look), values (what is drawn), or both."}
    )
    preserve_unconditional: bool = field(
        default=False, metadata={"help": "Also preserve every position of the empty prompt, which guidance reads."}
    )
    rank_tolerance: float = field(
        default=0.0,
        metadata={"help": "Share of the edit that may be lost when near-equal vectors are merged, 0 = exact."},
    )
    max_rank: int = field(default=0, metadata={"help": "Upper bound of the rank, 0 = none. What it costs is recorded."})

    def __post_init__(self) -> None:
        _require(self.erase_scale > 0, "erase_scale", self.erase_scale, "above 0")
        _require(self.preserve_scale >= 0, "preserve_scale", self.preserve_scale, "0 or more")
        _require(self.damping > 0, "damping", self.damping, "above 0")
        _require(0 <= self.rank_tolerance < 1, "rank_tolerance", self.rank_tolerance, "from 0 to below 1")
        _require(self.max_rank >= 0, "max_rank", self.max_rank, "0 or more")
        _require(len(self.templates) > 0, "templates", self.templates, "at least one sentence")
        _require(self.projections in ("key", "value", "both"), "projections", self.projections, "key, value or both")


PRESETS: Mapping[str, UceSettings] = MappingProxyType(
    {
        "paper": UceSettings(),
        "small_model": UceSettings(
            token_mode="from_subject_to_end",
            templates=("{}", "a {}", "a photo of a {}", "a picture of a {}", "a drawing of a {}"),
            preserve_unconditional=True,
            rank_tolerance=1e-3,
        ),
    }
)
"""``paper``: one token, no template. ``small_model``: for models that keep much of a concept in the padding."""


def erase(
    backbone: Backbone,
    concepts: Sequence[str],
    anchors: str | Sequence[str] = "",
    preserve: Sequence[str] = (),
    settings: UceSettings | None = None,
    strength: float = 1.0,
    placeholders: Placeholders | None = None,
    on_step: OnStep | None = None,
) -> Erasure:
    """Edit the model so that it reads each concept as its anchor.

    Args:
        backbone: gives the text encoder and the projections ``W0``, which are not changed.
        concepts: words or phrases to erase, at least one.
        anchors: what to read instead: one for all, or one per concept; ``""`` is the unconditional text.
        preserve: words or phrases whose reading shall stay.
        settings: see :class:`UceSettings`; None is the paper's.
        strength: multiplier in force: 0 changes nothing, 1 is the paper's edit, negative values amplify.
        placeholders: learnt tokens that the texts may name, ``"<apple>"`` to vectors.
        on_step: see :data:`OnStep`.

    Returns:
        the edit of every projection that reads this text width, at strength 1, in float32 factors.

    Raises ``ValueError`` for empty or repeated concepts, a wrong number of anchors, a concept that is also preserved
    or is its own anchor, a strength that is not finite, and a model without a projection that fits its text.
    """
    settings = settings or UceSettings()
    pairs = pair_anchors(concepts, anchors)
    _check_texts(pairs, preserve, strength)
    texts = _Texts(pairs, preserve)
    edit = solve(*_gather(backbone, texts, settings, placeholders, on_step), settings)
    factors = _factors(backbone.key_value_weights(), edit, settings.projections)
    if on_step is not None:
        on_step(texts.count + 1, texts.count + 1)
    metadata = _metadata(pairs, preserve, settings, edit)
    return Erasure(factors=factors, strength=float(strength), family=backbone.family, metadata=metadata)


def pair_anchors(concepts: Sequence[str], anchors: str | Sequence[str]) -> list[tuple[str, str]]:
    """Each concept with its anchor. Raises ``ValueError`` when there are neither one nor as many anchors."""
    listed = [anchors] if isinstance(anchors, str) else list(anchors)
    if len(listed) not in (1, len(concepts)):
        raise ValueError(f"{len(concepts)} concepts need 1 or {len(concepts)} anchors, got {len(listed)}")
    listed = listed * len(concepts) if len(listed) == 1 else listed
    return [(concept.strip(), anchor.strip()) for concept, anchor in zip(concepts, listed, strict=True)]


def relative_changes(erasure: Erasure, weights: Sequence[KeyValueWeight]) -> dict[str, float]:
    """How far each edited projection moves at the strength in force: ``||W - W0|| / ||W0||``, by name.

    Norms are Frobenius norms; that of a change is read off its factors, without making it dense.
    """
    norms = {weight.name: float(weight.weight.float().norm()) for weight in weights if weight.name in erasure.factors}
    moved = {name: abs(erasure.strength) * _norm(erasure.factors[name]) for name in norms}
    return {name: moved[name] / norm if norm > 0 else math.inf for name, norm in norms.items()}


def _norm(change: LowRank) -> float:
    up, down = change.up.double(), change.down.double()
    return math.sqrt(max(float(((up.T @ up) * (down @ down.T)).sum()), 0.0))


def _check_texts(pairs: Sequence[tuple[str, str]], preserve: Sequence[str], strength: float) -> None:
    erased = [_plain(concept) for concept, _ in pairs]
    if not erased or "" in erased:
        raise ValueError("name at least one concept to erase, and leave none empty")
    repeated = sorted({name for name in erased if erased.count(name) > 1})
    if repeated:
        raise ValueError(f"concepts listed twice: {', '.join(repeated)}")
    both = sorted(set(erased) & {_plain(text) for text in preserve})
    if both:
        raise ValueError(f"{', '.join(both)}: listed to be erased and to be preserved; take it off one list")
    unmoved = [concept for concept, anchor in pairs if _plain(concept) == _plain(anchor)]
    if unmoved:
        raise ValueError(f"{', '.join(unmoved)}: the anchor is the concept itself, so nothing would change")
    if not math.isfinite(strength):
        raise ValueError(f"strength must be a finite number, got {strength}")


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


class _Texts:
    """What is to be encoded, in order: each anchor once, ahead of its concepts; then what is only preserved."""

    def __init__(self, pairs: Sequence[tuple[str, str]], preserve: Sequence[str]) -> None:
        self.concepts: dict[str, list[str]] = {anchor: [] for _, anchor in pairs}
        for concept, anchor in pairs:
            self.concepts[anchor].append(concept)
        self.times = Counter(text for text in preserve if text.strip())
        self.only_preserved = [text for text in self.times if text not in self.concepts]
        self.count = len(self.in_order())

    def in_order(self) -> list[str]:
        return [text for group in self.concepts.items() for text in (group[0], *group[1])] + self.only_preserved


def _gather(
    backbone: Backbone,
    texts: _Texts,
    settings: UceSettings,
    placeholders: Placeholders | None,
    on_step: OnStep | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Concept and anchor vectors, (n, D) each, and the sum of ``p_j p_j^T`` (D, D) of the preserved ones.

    Rows are taken as they are encoded: of the preserved ones nothing stays but their sum, of anchors the last one.
    """
    how = (settings.token_mode, settings.templates, placeholders)
    rows = _counted(rows_of_each(backbone, texts.in_order(), *how), texts.count, on_step)
    moved: list[tuple[Tensor, Tensor]] = []
    preserved = torch.zeros((), dtype=torch.float64)
    for anchor, concepts in texts.concepts.items():
        theirs = next(rows)
        preserved = preserved + texts.times[anchor] * outer_sum(alone(theirs, settings.combine))
        moved.extend(paired(next(rows), theirs, settings.combine) for _ in concepts)
    for text in texts.only_preserved:
        preserved = preserved + texts.times[text] * outer_sum(alone(next(rows), settings.combine))
    if settings.preserve_unconditional:
        preserved = preserved + outer_sum(vectors(backbone, "", "all"))
    return torch.cat([ours for ours, _ in moved]), torch.cat([theirs for _, theirs in moved]), preserved


def _counted(rows: Iterator[list[ConceptRows]], total: int, on_step: OnStep | None) -> Iterator[list[ConceptRows]]:
    for done, one in enumerate(rows, 1):
        if on_step is not None:
            on_step(done, total + 1)
        yield one


def _factors(weights: Sequence[KeyValueWeight], edit: Edit, projections: Projections) -> dict[str, LowRank]:
    width = edit.down.shape[1]
    chosen = [weight for weight in weights if projections in ("both", weight.role)]
    fitting = [weight for weight in chosen if weight.weight.shape[1] == width]
    if not fitting:
        widths = sorted({weight.weight.shape[1] for weight in chosen})
        raise ValueError(f"the text has width {width}, but the model's projections read widths {widths}")
    return {weight.name: edit.of(weight.weight) for weight in fitting}


def _metadata(
    pairs: Sequence[tuple[str, str]], preserve: Sequence[str], settings: UceSettings, edit: Edit
) -> dict[str, str]:
    return {
        "method": "uce",
        "concepts": json.dumps([concept for concept, _ in pairs]),
        "anchors": json.dumps([anchor for _, anchor in pairs]),
        "preserve": json.dumps(list(preserve)),
        "settings": json.dumps(asdict(settings)),
        "rank": str(edit.rank),
        "relative_error": f"{edit.relative_error:.3g}",
    }
