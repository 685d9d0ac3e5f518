"""Groups of pictures for people: what each goes by, with its most typical pictures."""

from collections.abc import Sequence

from torch import Tensor

from ....core.explain.strategies import Strategies
from ....core.messages import counted
from ...pictures.drawing import colour_of
from ..contact_sheet import Caption, Row, contact_sheet
from ..recognise.subjects import names_for


def group_names(found: Strategies, names: Sequence[str]) -> str:
    """A line for each group: its pictures by their names, or by their numbers from 1 where they have none.

    Raises ``ValueError`` for another number of names than pictures.
    """
    called = names_for(len(found.labels), names) if names else [str(n + 1) for n in range(len(found.labels))]
    return "\n".join(", ".join(called[n] for n in sorted(found.members(group))) for group in range(len(found)))


def strategies_report(found: Strategies) -> str:
    """What matters in each group, a line each."""
    lines = [
        f"Group {group + 1}: {len(found.members(group))} of {counted(len(found.labels), 'picture')}"
        + (f", fit {float(found.fits[found.labels == group].mean()):.2f}" if len(found) > 1 else "")
        + f". {_leads(found, group)}"
        for group in range(len(found))
    ]
    one = ["The same ingredients matter in all of these pictures: they fall into no groups."] if len(found) == 1 else []
    return "\n".join([*one, *lines, f"Grouped by {found.scores.title}. {found.scores.valid_for}".strip()])


def _leads(found: Strategies, group: int) -> str:
    names = found.scores.names
    said = [
        f"{names[lead.concept]} ({lead.here:.3g}, elsewhere {lead.elsewhere:.3g}; first in {lead.first:.0%})"
        for lead in found.leads(group)
    ]
    return f"What matters here: {', '.join(said)}." if said else "Nothing matters more here than elsewhere."


def strategies_sheet(found: Strategies, pictures: Tensor, each: int, called: Sequence[str]) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each group with its most typical pictures, of (P, 3, H, W), each under its
    name."""
    rows = []
    for group in range(len(found)):
        members = found.members(group)
        leads = ", ".join(found.scores.names[lead.concept] for lead in found.leads(group))
        title = f"group {group + 1}   {counted(len(members), 'picture')}" + (f"   {leads}" if leads else "")
        shown = members[:each]
        captions = [Caption(called[number]) for number in shown]
        rows.append(Row(title, colour_of(group), None, pictures[shown], captions, "most typical"))
    return contact_sheet(rows)
