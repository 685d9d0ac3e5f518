"""Settings that every method of erasing has."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from ...settings import Settings, setting
from .concept_vectors import Combine, TokenMode

Projections = Literal["key", "value", "both"]

SENTENCES = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "a drawing of a {}")
"""In which presets for small models see a concept."""


def no_weight(name: str) -> str:
    """What people read of their preserve list where the setting that weighs it is 0."""
    return f"Your preserve list had no effect, because {name} is 0; set {name} above 0 to keep these words."


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise ``ValueError`` unless a condition on a setting holds."""
    if not holds:
        raise ValueError(f"{name} must be {expected}, got {value}")


@dataclass(frozen=True)
class EraseSettings(Settings):
    """What every method has; each adds its own settings. Each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    templates: tuple[str, ...] = setting(
        ("{}",), "Sentences with {} where the concept goes, to see it in several contexts."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.templates) > 0, "templates", self.templates, "at least one sentence")
        for one in self.templates:
            require("{}" in one, "templates", one, "sentences with {} where the concept goes")

    @property
    def preserve_note(self) -> str:
        """What people should know of their preserve list under these settings, a sentence; empty where the list has
        its effect."""
        return ""


@dataclass(frozen=True)
class ClosedFormSettings(EraseSettings):
    """Of methods that solve for a change of the text projections."""

    token_mode: TokenMode = setting(
        "last_subject",
        "Which positions of the encoded text are edited: the concept's last token, its tokens and all that "
        "follows them, padding included, or all positions.",
    )
    combine: Combine = setting(
        "average", "Average the vectors over the templates, or edit those of each template separately."
    )

    damping: float = setting(0.5, "Weight of staying near the original (lambda), above 0: higher is gentler.")
    projections: Projections = setting("both", "Edit keys (where to look), values (what is drawn), or both.")
    rank_tolerance: float = setting(
        0.0, "Share of the edit that may be lost when near-equal vectors are merged, 0 = exact."
    )
    max_rank: int = setting(0, "Upper bound of the rank, 0 = none. What it costs is recorded.")
    kept_words: int = setting(
        0, "Preserve so many words of the vocabulary near each concept beside the list (ours); 0 none.", least=0
    )
    kept_below: float = setting(
        0.9, "Words of this cosine with a concept or more count as its synonyms, and are not kept so.", least=-1, most=1
    )

    @property
    def cost(self) -> str:
        """What an edit costs, for people."""
        count = len(self.templates)
        more = f"; {2 * self.kept_words} more for each concept, to find words to keep" if self.kept_words else ""
        return (
            f"{count} sentence{'s' * (count > 1)} through the text encoder for each entry of the lists, no pass{more}"
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.damping > 0, "damping", self.damping, "above 0")
        require(0 <= self.rank_tolerance < 1, "rank_tolerance", self.rank_tolerance, "from 0 to below 1")
        require(self.max_rank >= 0, "max_rank", self.max_rank, "0 or more")
        require(self.projections in ("key", "value", "both"), "projections", self.projections, "key, value or both")


@dataclass(frozen=True)
class RidgeSettings(ClosedFormSettings):
    """Of methods that solve UCE's least-squares problem, with weights for what is erased and what is preserved."""

    erase_scale: float = setting(1.0, "Weight of the erased concepts (s_e), above 0.")
    preserve_scale: float = setting(1.0, "Weight of the preserved concepts (s_p), 0 or more.")
    preserve_unconditional: bool = setting(
        False, "Also preserve every position of the empty prompt, which guidance reads."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.erase_scale > 0, "erase_scale", self.erase_scale, "above 0")
        require(self.preserve_scale >= 0, "preserve_scale", self.preserve_scale, "0 or more")

    @property
    def preserve_note(self) -> str:
        return "" if self.preserve_scale else no_weight("preserve_scale")


C = TypeVar("C", bound=ClosedFormSettings)


def exact(settings: C, **changes: Any) -> C:
    """The same with other numbers and no bound of the rank, for a solution that is a step to another."""
    return replace(settings, rank_tolerance=0.0, max_rank=0, **changes)
