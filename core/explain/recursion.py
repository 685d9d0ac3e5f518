"""Parts of a concept: what a concept of one layer is made of at an earlier layer.

The recursion of CRAFT (Fel et al. 2023, arXiv 2211.10154, section 3.2): a concept that looks mixed is taken apart by
factorising, at an earlier layer, what shows it. The paper takes crops; here it is the positions of the earlier layer
that lie where the concept is.
"""

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import interpolate

from .activations import Activations
from .bank import ConceptBank, ConceptCodes

WITHIN = 0.3
"""Share of a concept's peak from which a position belongs to it, as Ingredient Masks draws it."""
PARENT = "parent"
"""In the metadata of a bank: the number from 1 of the concept whose parts it holds."""


def positions_of(codes: ConceptCodes, concept: int, activations: Activations) -> Tensor:
    """(P, h * w) bool: the positions of activations, of another layer of the same pictures, that lie where a concept
    is.

    Raises ``ValueError`` for activations of other pictures, and where no picture shows the concept.
    """
    if len(activations) != len(codes.values) or activations.covered != codes.covered:
        raise ValueError(
            f"the ingredient was looked for in {len(codes.values)} pictures, and the activations are of "
            f"{len(activations)}; record the same pictures at the same size at both layers"
        )
    maps = codes.maps([concept])  # (P, 1, h', w')
    finer = activations.grid[0] >= codes.grid[0]
    sized = interpolate(maps, activations.grid, mode="nearest-exact" if finer else "area")
    inside = (sized > WITHIN).flatten(1)
    if not bool(inside.any()):
        raise ValueError(
            f"none of these pictures shows the ingredient {codes.bank.names[concept]} at {WITHIN:.0%} of its full "
            "strength, so it has no parts here; name another one"
        )
    return inside


def parent_of(bank: ConceptBank, codes: ConceptCodes) -> int:
    """The concept, from 0, whose parts a bank holds. Raises ``ValueError`` for a bank that holds no parts."""
    if PARENT not in bank.metadata:
        raise ValueError(
            "these are no parts of an ingredient; leave parts_of unconnected, or connect it where they are found"
        )
    return codes.bank.index(bank.metadata[PARENT])


def inside(codes: ConceptCodes, parent: ConceptCodes, activations: Activations) -> ConceptCodes:
    """Codes of parts, 0 wherever their parent is not.

    Args:
        parent: codes that hold the parent, of the same pictures.
        activations: those that ``codes`` are of.
    """
    where = positions_of(parent, parent_of(codes.bank, parent), activations)  # (P, h * w)
    return replace(codes, values=codes.values * where[..., None])


def as_parts(bank: ConceptBank, parent: ConceptCodes, concept: int) -> ConceptBank:
    """A bank that was found at positions of a concept, its concepts named as children of that one: 3.1, 3.2."""
    number, name = str(concept + 1), parent.bank.names[concept]
    facts = {PARENT: number, "parent_name": name, "parent_site": parent.bank.origin.site}
    names = tuple(f"{number}.{child}" for child in bank.names)
    return replace(bank, names=names, metadata={**bank.metadata, **facts})


def said_of(bank: ConceptBank) -> str:
    """For people: whose parts a bank holds, one sentence; "" where it holds none."""
    if PARENT not in bank.metadata:
        return ""
    number, name = bank.metadata[PARENT], bank.metadata.get("parent_name", "")
    called = number if name in ("", number) else f"{number} ({name})"
    return f"Parts of ingredient {called} of the layer {bank.metadata.get('parent_site', 'unknown')}."
