"""Where the nodes of a drawn workflow stand: steps from left to right, each a coloured group of columns with a note on
top; wires that go further than to the next column run along lanes between notes and nodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .sizes import WIDTH, WIDTHS, width_of_note

GAP, TITLE = 20, 30
"""What lies between columns and between nodes, a node's title."""
LANE, PAD, FLOOR, GROUP_FONT, BETWEEN = 5, 5, 8, 26, 10
"""Between lanes, beside a group's nodes, above and below them, the size of a group's title, between groups."""
HEADING = round(GROUP_FONT * 1.4)
COLOURS = ("#3f789e", "#4f8f5f", "#a9802b", "#7d5fa8")
COLLAPSED = 40
"""What a collapsed node says of its height: the page takes it for the node's own when it fits the view."""


@dataclass
class Step:
    """A part of the story: a group on the canvas.

    Attributes:
        title: of the group; empty for no group.
        note: the node that holds its note, where it has one: on top, as wide as the step; in a column of a step that
            lies below the one before.
        note_height: in pixels.
        below: whether it lies below the step before it, rather than beside it.
        members: nodes with the column that each is in.
        widths: of columns that nodes are in; as wide as the widest node needs, the last one also as wide as the note.
        bottoms: of columns, below where nodes may start.
        feet: node id to how far what belongs to the node hangs out of it, below.
    """

    title: str = ""
    note: dict[str, Any] | None = None
    note_height: int = 0
    below: bool = False
    members: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    widths: dict[int, int] = field(default_factory=dict)
    bottoms: dict[int, float] = field(default_factory=dict)
    feet: dict[int, int] = field(default_factory=dict)

    def place(
        self, node: dict[str, Any], column: int, height: float, *, foot: int = 0, collapsed: bool = False
    ) -> None:
        """Put a node below what its column has, in coordinates of the column; :func:`arrange` gives it its width."""
        top = self.bottoms.get(column, 0.0) + TITLE
        width = WIDTHS.get(node["type"], WIDTH)
        node |= {"pos": [0.0, top], "size": [width, COLLAPSED if collapsed else height]}
        self.widths[column] = max(self.widths.get(column, 0), width)
        node["flags"] = {"collapsed": True} if collapsed else {}
        self.feet[node["id"]] = 0 if collapsed else foot
        self.bottoms[column] = top + (0 if collapsed else height) + max(GAP, self.feet[node["id"]])
        self.members.append((node, column))

    def align(self, *columns: int) -> None:
        """What is placed next in these columns starts at the same height."""
        top = max(self.bottoms.get(column, 0.0) for column in columns)
        self.bottoms |= dict.fromkeys(columns, top)

    def left(self, column: int) -> float:
        """Of a column, from the step's own left."""
        return float(sum(width + GAP for before, width in self.widths.items() if before < column))

    def widen(self, note_height: int) -> None:
        """Widen the last column until the note's text fits into this height."""
        if self.note is not None:
            lacking = width_of_note(self.note["widgets_values"][0], note_height) - self.width
            self.widths[max(self.widths)] += max(0, round(lacking))

    @property
    def width(self) -> float:
        """Of the columns that are in use."""
        return self.left(len(self.widths)) - GAP


@dataclass
class Drawn:
    """What is on the canvas besides nodes and links."""

    groups: list[dict[str, Any]]
    reroutes: list[dict[str, Any]]
    ends: list[dict[str, int]]


def arrange(steps: Sequence[Step], links: Sequence[Sequence[Any]]) -> Drawn:
    """Put steps side by side, in place, and draw their groups and the lanes of far wires.

    Args:
        links: (id, source node, slot, target node, slot, type) each.
    """
    beside = [step for step in steps if not step.below]
    columns = _columns(beside)
    trunks = _far(links, columns)
    note = max(step.note_height for step in beside)
    for step in beside:
        step.widen(note)
    lanes = TITLE + note + GAP / 2 if note else 0.0
    top = lanes + LANE * (len(trunks) + 1) if trunks or note else 0.0
    left, right, bottom, edges = 0.0, 0.0, 0.0, []
    for step in steps:
        if step.below:
            _move(step, left, bottom + 2 * FLOOR + BETWEEN + HEADING)
            continue
        left = right
        _move(step, left, top)
        if step.note is not None:
            step.note |= {"pos": [left, TITLE], "size": [step.width, note], "flags": {}}
        edges += [(left + step.left(c), left + step.left(c) + step.widths[c]) for c in sorted(step.widths)]
        right, bottom = left + step.width + 2 * PAD + BETWEEN, _bottom(step)
    reroutes, ends = _routes(trunks, columns, edges, lanes)
    return Drawn(_groups(steps), reroutes, ends)


def _move(step: Step, left: float, top: float) -> None:
    for node, column in step.members:
        node["pos"] = [left + step.left(column), top + node["pos"][1]]
        node["size"][0] = step.widths[column]


def _bottom(step: Step) -> float:
    return float(
        max(
            node["pos"][1] + (0 if node["flags"] else node["size"][1] + step.feet[node["id"]])
            for node, _ in step.members
        )
    )


def _columns(steps: Sequence[Step]) -> Mapping[int, int]:
    """Node id to the number of its column, counted over all steps."""
    places = [(index, column) for index, step in enumerate(steps) for column in sorted(step.widths)]
    return {
        node["id"]: places.index((index, column)) for index, step in enumerate(steps) for node, column in step.members
    }


def _far(links: Sequence[Sequence[Any]], columns: Mapping[int, int]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Output (node, slot) to its links (id, target column) that go further than to the next column."""
    far: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, source, slot, target, *_ in links:
        if target in columns and columns[target] > columns[source] + 1:
            far.setdefault((source, slot), []).append((number, columns[target]))
    return far


def _routes(
    trunks: Mapping[tuple[int, int], Sequence[tuple[int, int]]],
    columns: Mapping[int, int],
    edges: Sequence[tuple[float, float]],
    top: float,
) -> tuple[list[dict[str, Any]], list[dict[str, int]]]:
    """Points that wires pass, and for each link the last of them: up to a lane behind the source's column, then along
    it, and down before every column that has a target."""
    points: list[dict[str, Any]] = []
    ends: list[dict[str, int]] = []
    for lane, ((source, _), targets) in enumerate(trunks.items()):
        y, aside = top + LANE * (lane + 1), (GAP - 6) * (lane / max(1, len(trunks) - 1) - 0.5)
        stops = [edges[columns[source]][1] + GAP / 2, *(edges[c][0] - GAP / 2 for c in sorted({c for _, c in targets}))]
        for index, (x, column) in enumerate(zip(stops, [0, *sorted({c for _, c in targets})], strict=True)):
            beyond = [number for number, target in targets if target >= column]
            point: dict[str, Any] = {"id": len(points) + 1, "pos": [x + aside, y], "linkIds": sorted(beyond)}
            points.append(point | ({"parentId": len(points)} if index else {}))
            ends += [{"id": number, "parentId": point["id"]} for number, target in targets if target == column]
    return points, sorted(ends, key=lambda end: end["id"])


def _groups(steps: Sequence[Step]) -> list[dict[str, Any]]:
    groups = []
    for number, step in enumerate(step for step in steps if step.title):
        nodes = [node for node, _ in step.members] + ([step.note] if step.note and not step.below else [])
        left, top = min(node["pos"][0] for node in nodes), min(node["pos"][1] for node in nodes) - TITLE
        bottom = _bottom(step)
        box = [left - PAD, top - FLOOR - HEADING, step.width + 2 * PAD, bottom - top + 2 * FLOOR + HEADING]
        colour = COLOURS[number % len(COLOURS)]
        groups.append(
            {
                "id": number + 1,
                "title": step.title,
                "bounding": box,
                "color": colour,
                "font_size": GROUP_FONT,
                "flags": {},
            }
        )
    return groups
