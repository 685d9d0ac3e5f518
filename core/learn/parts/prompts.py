"""The sentences that learnt tokens are trained in."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...backbone import Backbone, Conditioning, Placeholders, TextTooLongError, UnequalTextsError
from ...messages import shown


@dataclass(frozen=True)
class Prompt:
    """A training sentence.

    Attributes:
        text: with placeholders, such as ``a photo of <apple> and <crab>``.
        members: indices of the concepts it names, in the order named.
    """

    text: str
    members: tuple[int, ...]


def placeholder(name: str) -> str:
    """How a concept is written in a prompt. Raises ``ValueError`` for names that cannot be written so."""
    if not name or any(letter.isspace() or letter in "<>" for letter in name):
        raise ValueError(f"a concept's name must have no spaces, < or >, and not be empty, got {shown(name)}")
    return f"<{name}>"


def check_template(template: str) -> None:
    """Raise ``ValueError`` unless a training sentence has its ``{}``, once."""
    if template.count("{}") != 1:
        raise ValueError(f"a template needs exactly one {{}} where the concepts go, got {shown(template)}")


def prompt_of(names: Sequence[str], members: Sequence[int], template: str) -> Prompt:
    """The sentence that names these concepts, joined by "and" where the template has its ``{}``."""
    check_template(template)
    words = " and ".join(placeholder(names[index]) for index in members)
    return Prompt(template.replace("{}", words), tuple(members))


def singles(names: Sequence[str], template: str) -> tuple[Prompt, ...]:
    """One sentence per concept."""
    return tuple(prompt_of(names, [index], template) for index in range(len(names)))


def single_and_joint(
    names: Sequence[str], template: str, joint: bool = True, even_of_one: bool = False
) -> tuple[Prompt, ...]:
    """One sentence per concept and, when ``joint``, one that names them all, if they are several or ``even_of_one``."""
    together = joint and (len(names) > 1 or even_of_one)
    return singles(names, template) + ((prompt_of(names, range(len(names)), template),) if together else ())


def encode_together(backbone: Backbone, texts: Sequence[str], placeholders: Placeholders) -> Conditioning:
    """The conditioning of the sentences of one training step, one row each.

    Raises :class:`~...backbone.TextTooLongError`, saying what to do, where one is too long to stand beside the others.
    """
    try:
        return backbone.encode_text(list(texts), placeholders)
    except UnequalTextsError:
        raise
    except TextTooLongError as error:
        raise TextTooLongError(
            f"the sentences of a training step do not fit together ({error}): keep fewer concepts, "
            "use fewer vectors per token, or switch the joint prompt off"
        ) from error


def encode_in_groups(
    backbone: Backbone, texts: Sequence[str], placeholders: Placeholders
) -> list[tuple[tuple[int, ...], Conditioning]]:
    """The sentences of one training step: the rows that can stand side by side, and their conditioning.

    They are one group but where a model's texts differ in length and cannot be brought to one (language models without
    padding). Raises as :func:`encode_together` does.
    """
    try:
        return [(tuple(range(len(texts))), encode_together(backbone, texts, placeholders))]
    except UnequalTextsError:
        return [((row,), backbone.encode_text([text], placeholders)) for row, text in enumerate(texts)]


def placeholder_positions(
    backbone: Backbone, prompt: Prompt, names: Sequence[str], placeholders: Placeholders
) -> tuple[tuple[int, ...], ...]:
    """For each member of the prompt, every position its placeholder takes."""
    tokens = backbone.tokenize(prompt.text, placeholders).tokens
    written = [placeholder(names[index]) for index in prompt.members]
    return tuple(tuple(token.position for token in tokens if token.placeholder == name) for name in written)
