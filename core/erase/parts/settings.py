"""Settings that every method of erasing has."""

from dataclasses import dataclass

from ...settings import setting
from .concept_vectors import Combine, TokenMode


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise ``ValueError`` unless a condition on a setting holds."""
    if not holds:
        raise ValueError(f"{name} must be {expected}, got {value}")


@dataclass(frozen=True)
class EraseSettings:
    """How texts become vectors; each method adds its own settings. Each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    token_mode: TokenMode = setting(
        "last_subject",
        "Which positions of the encoded text are edited: the concept's last token, its tokens and all that "
        "follows them, padding included, or all positions.",
    )
    templates: tuple[str, ...] = setting(
        ("{}",), "Sentences with {} where the concept goes, to see it in several contexts."
    )
    combine: Combine = setting(
        "average", "Average the vectors over the templates, or edit those of each template separately."
    )

    def __post_init__(self) -> None:
        require(len(self.templates) > 0, "templates", self.templates, "at least one sentence")
