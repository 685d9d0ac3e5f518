"""Where the nodes of a drawn workflow stand: steps from left to right, each a coloured group of columns with a note on
top; wires that go further than to the next column run along lanes between notes and nodes.

Sizes are those of ComfyUI's page: the largest of the classic view and of Nodes 2.0, measured on 0.19.3 and 0.33.0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GAP, TITLE = 20, 30
"""What lies between columns and between nodes, a node's title."""
LANE, PAD, FLOOR, GROUP_FONT, BETWEEN = 5, 5, 8, 26, 10
"""Between lanes, beside a group's nodes, above and below them, the size of a group's title, between groups."""
HEADING = round(GROUP_FONT * 1.4)
COLOURS = ("#3f789e", "#4f8f5f", "#a9802b", "#7d5fa8")
WIDTH = 225
"""A node is not drawn narrower than this in Nodes 2.0."""
WIDTHS = {
    "ConceptAtelierEditByWords": 258,
    "ConceptAtelierShowWordInformation": 258,
    "LoadImage": 276,
    "CLIPTextEncode": 230,
    "KSampler": 290,
    "MarkdownNote": 245,
    "ConceptAtelierLoadLabModel": 230,
    "ConceptAtelierLocalizeConcepts": 320,
    "ConceptAtelierEditConcepts": 266,
    "ConceptAtelierMatchConcepts": 314,
    "ConceptAtelierLearnConceptTokens": 330,
    "ConceptAtelierEncodeConceptPrompt": 233,
    "ConceptAtelierComposeConcepts": 284,
    "ConceptAtelierEraseConcepts": 240,
    "ConceptAtelierGuardAgainstConcepts": 300,
    "ConceptAtelierInvertPicture": 300,
    "ConceptAtelierPurifyPicture": 300,
    "ConceptAtelierChunkPrompt": 300,
    "ConceptAtelierAttackErasure": 300,
    "ConceptAtelierErasureReport": 300,
    "ConceptAtelierSaveErasureAsLora": 262,
    "ConceptAtelierCaptureAttention": 290,
    "ConceptAtelierShowWordHeatmap": 305,
    "ConceptAtelierLoadConceptPrototypes": 240,
    "ConceptAtelierScoreConcepts": 270,
    "ConceptAtelierLocalizeWords": 290,
    "ConceptAtelierLoadPictureFolder": 250,
    "ConceptAtelierRecordActivations": 290,
    "ConceptAtelierFindIngredients": 300,
    "ConceptAtelierShowIngredients": 300,
    "ConceptAtelierIngredientMasks": 370,
    "ConceptAtelierSteerIngredients": 300,
    "ConceptAtelierAuditIngredients": 300,
    "ConceptAtelierLearnPrototypes": 290,
    "ConceptAtelierPrototypeFeedback": 340,
    "ConceptAtelierFindPrototypes": 300,
    "ConceptAtelierScoreByConcepts": 300,
    "ConceptAtelierPickBestOfBatch": 290,
    "ConceptAtelierTrainConceptHead": 300,
    "ConceptAtelierCompleteCaptions": 300,
    "ConceptAtelierLintConcepts": 300,
    "ConceptAtelierScoreByConceptHead": 290,
    "ConceptAtelierLocalizeSkill": 290,
    "ConceptAtelierSkillOverlap": 300,
    "ConceptAtelierStitchSkills": 290,
    "ConceptAtelierGraftSkill": 300,
    "ConceptAtelierSaveSkillPatch": 290,
    "ConceptAtelierSlimLora": 290,
    "LoraLoader": 290,
}
"""Of nodes that need more. In French the page widens Load Image to 294, into the gap beside."""
LABELS = {("SaveImage", "filename_prefix"): "file", ("ConceptAtelierComposeConcepts", "bounding_boxes"): "boxes"}
"""What inputs are called on the node, where their own name is so long that it or its value would be cut."""
PICTURE, LINE, LINES = 206, 17, 113
"""A picture on a node, a line of what it says, and the most lines it shows at once."""
SHOWN = {
    "SaveImage": 220,
    "LoadImage": 229,
    "ConceptAtelierLocalizeConcepts": PICTURE - 60 + LINES,
    "ConceptAtelierEditConcepts": 320,
    "ConceptAtelierConceptsFromMasks": PICTURE + LINES,
    "ConceptAtelierMatchConcepts": PICTURE + LINES,
    "ConceptAtelierLearnConceptTokens": PICTURE - 80,
    "ConceptAtelierShowWordHeatmap": PICTURE,
    "ConceptAtelierScoreConcepts": 136 + LINES,
    "ConceptAtelierLoadConceptPrototypes": 5 * LINE,
    "ConceptAtelierEraseConcepts": 5 * LINE - 6,
    "ConceptAtelierGuardAgainstConcepts": 5 * LINE,
    "ConceptAtelierInvertPicture": PICTURE + 2 * LINE,
    "ConceptAtelierPurifyPicture": 2 * LINE,
    "ConceptAtelierSteerIngredients": 4 * LINE,
    "ConceptAtelierAuditIngredients": PICTURE + LINES,
    "ConceptAtelierScoreByConcepts": LINES,
    "ConceptAtelierPickBestOfBatch": PICTURE + 2 * LINE,
    "ConceptAtelierChunkPrompt": 5 * LINE,
    "ConceptAtelierTrainConceptHead": PICTURE - 60 + 3 * LINE,
    "ConceptAtelierCompleteCaptions": PICTURE,
    "ConceptAtelierLintConcepts": LINES,
    "ConceptAtelierScoreByConceptHead": 5 * LINE,
    "ConceptAtelierLocalizeSkill": 3 * LINE,
    "ConceptAtelierSkillOverlap": PICTURE - 60 + LINES,
    "ConceptAtelierStitchSkills": 3 * LINE,
    "ConceptAtelierGraftSkill": PICTURE - 60 + LINES,
    "ConceptAtelierSaveConceptTokens": 4 * LINE,
    "ConceptAtelierSaveErasureAsLora": 3 * LINE,
}
"""Room that nodes need once they have run."""
FOOT = 40
"""How far the buttons below a node hang out of it, in the Nodes 2.0 of 0.19.3."""
COLLAPSED = 40
"""What a collapsed node says of its height: the page takes it for the node's own when it fits the view."""


@dataclass(frozen=True)
class _View:
    """What a way of drawing nodes gives their parts, in pixels."""

    rims: int
    slot: int
    row: int
    line: int
    text: int
    badge: int
    footer: int

    def height(self, parts: "Parts", shows_all: bool) -> int:
        rows = parts.rows + (parts.hidden_rows + parts.controls if shows_all else 0)
        lines = parts.lines + (parts.hidden_lines if shows_all else 0)
        footer = self.footer if parts.has_footer else 0
        return (
            self.rims
            + self.slot * parts.slots
            + self.row * rows
            + self.line * lines
            + self.text * parts.texts
            + (self.badge if parts.has_badge else 0)
            + footer
        )


CLASSIC = _View(rims=14, slot=20, row=24, line=24, text=66, badge=0, footer=0)
NODES_2 = (
    _View(rims=14, slot=20, row=28, line=36, text=68, badge=24, footer=24),
    _View(rims=24, slot=24, row=33, line=36, text=68, badge=24, footer=0),
)


@dataclass(frozen=True)
class Parts:
    """What a node is made of: rows of sockets; widgets in a row, one-line and many-line texts; those of the rarely
    used inputs, which Nodes 2.0 hides; the controls below seeds, which it puts beside them."""

    slots: int
    rows: int = 0
    lines: int = 0
    texts: int = 0
    hidden_rows: int = 0
    hidden_lines: int = 0
    controls: int = 0
    has_badge: bool = False
    has_footer: bool = False

    @property
    def height(self) -> int:
        """Of the node without its title, in pixels."""
        return max(CLASSIC.height(self, True), *(view.height(self, False) for view in NODES_2))

    @property
    def foot(self) -> int:
        """Of what hangs out of the node, below."""
        return FOOT if self.has_footer else 0


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
        widths: of columns that nodes are in; as wide as the widest node needs.
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
