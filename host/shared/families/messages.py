"""What messages say of the families that can do something."""

from collections.abc import Iterable

from .records import ModelFamily
from .table import FAMILIES
from .transformers import TRANSFORMERS


def supported() -> str:
    """``supported are Stable Diffusion 1.x, ... and the lab model``, for messages."""
    return f"supported are {_titles(FAMILIES.values())}"


def supported_tuning() -> str:
    """The same of the families of which changes can be learnt."""
    return f"supported are {_titles(one for one in FAMILIES.values() if not one.transformer or one.transformer.tunes)}"


def no_concepts(family: str) -> str:
    """That concepts cannot run beside the text of a family, and beside whose they can."""
    able = [one for one in TRANSFORMERS if one.transformer is not None and one.transformer.concepts]
    return (
        f"concepts cannot run beside the text of {FAMILIES[family].title}: its text does not go through the blocks of "
        f"the picture, or nothing is published for it; supported are {_titles(able)}"
    )


def _titles(families: Iterable[ModelFamily]) -> str:
    *first, last = (family.title for family in families)
    return f"{', '.join(first)} and {last}"
