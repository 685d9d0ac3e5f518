"""Sentences in which a concept's token stands before the word for its kind: ``a photo of <1> cat and <2> dog``."""

from collections.abc import Mapping, Sequence

from ...messages import listed, shown
from .prompts import placeholder


def need_classes(names: Sequence[str], classes: Mapping[str, str] | None, method: str) -> dict[str, str]:
    """A class word per concept, in order. Raises ``ValueError`` for concepts without one, naming them."""
    given = {name: word.strip() for name, word in (classes or {}).items() if word.strip()}
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError(
            f"{method} finds concepts by the word for their kind, and {listed(missing)} has none: "
            f"give class words such as {missing[0]}=cat"
        )
    return {name: given[name] for name in names}


def check_different(classes: Mapping[str, str], method: str) -> None:
    """Raise ``ValueError`` for two concepts of one class."""
    words = [" ".join(word.lower().split()) for word in classes.values()]
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise ValueError(
            f"two concepts are of the class {listed(twice)}: {method} cannot distinguish two of a kind; use "
            "break_a_scene or far, which go by masks"
        )


def phrase(name: str, classes: Mapping[str, str]) -> str:
    """``<1> cat``, or ``<1>`` for a concept without a class word."""
    return f"{placeholder(name)} {classes[name]}" if classes.get(name) else placeholder(name)


def sentence(parts: Sequence[str], template: str) -> str:
    """The phrases, joined by "and", where the template has its ``{}``; ``ValueError`` where it has none or more."""
    if template.count("{}") != 1:
        raise ValueError(f"a template needs exactly one {{}} where the concepts go, got {shown(template)}")
    return template.replace("{}", " and ".join(parts))
