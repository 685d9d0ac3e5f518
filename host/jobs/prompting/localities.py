"""Words with dials as people write them, and what the dials do, in words."""

from collections.abc import Sequence

from ....core.compose.composition import Composition
from ....core.messages import shown
from ....core.prompts.locality_measures import Measured

COLUMNS = ("word", "dial", "entropy without", "entropy with", "inside its mask without", "inside its mask with")


def dials_of(lines: Sequence[str], dial: float) -> list[tuple[str, float]]:
    """Each word with its dial.

    Args:
        lines: ``a red cat`` or ``a red cat: 0.5``.
        dial: of words without one of their own.

    Raises ``ValueError`` for a dial outside -1 to 1, and for no words.
    """
    found = []
    for line in lines:
        name, colon, number = line.rpartition(":")
        try:
            own = float(number) if colon else dial
        except ValueError as error:
            raise ValueError(f"words has {shown(line)}; expected a word, or a word and its dial: cat: 0.5") from error
        if not -1 <= own <= 1:
            raise ValueError(f"the dial of {shown(name)} must lie from -1 to 1, got {number.strip()}")
        found.append(((name if colon else number).strip(), own))
    if not found:
        raise ValueError("words is empty; write words or phrases of the prompt, one on each line")
    return found


def rows_of(composition: Composition, dials: Sequence[float], found: Measured) -> list[list[str]]:
    """A row for each word, in the order of :data:`COLUMNS`."""
    rows = []
    for number, (region, dial) in enumerate(zip(composition.regions, dials, strict=True)):
        inside = ["" if share != share else f"{share:.4f}" for share in found.fidelity[number].tolist()]
        bits = [f"{float(found.before[number]):.4f}", f"{float(found.after[number]):.4f}"]
        rows.append([region.text, f"{dial:g}", *bits, *inside])
    return rows


def described(composition: Composition, dials: Sequence[float], cost: str, found: Measured | None) -> str:
    """What the dials do and cost, for people."""
    if not any(dials):
        said = ["All dials are 0: the model is as it was."]
    else:
        said = [f"{len(composition.regions)} words with a dial. Cost: {cost}."]
    if found is None:
        return " ".join([*said, "Connect a picture and its VAE to measure what the dials do."])
    for number, (region, dial) in enumerate(zip(composition.regions, dials, strict=True)):
        bits = f"entropy {float(found.before[number]):.2f} bits without, {float(found.after[number]):.2f} with"
        without, with_it = found.fidelity[number].tolist()
        inside = "" if without != without else f"; inside its mask {without:.0%} without, {with_it:.0%} with"
        said.append(f"{region.text}, dial {dial:g}: {bits}{inside}.")
    said.append(f"Attention that is the same everywhere has {found.even:.2f} bits.")
    return "\n".join(said)
