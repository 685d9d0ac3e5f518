"""How much room the nodes of a drawn workflow need: their widths, their heights from the parts they are made of, and
the widths of notes from their texts.

Sizes are those of ComfyUI's page: the largest of the classic view and of Nodes 2.0, measured on 0.19.3 and 0.33.0.
"""

from dataclasses import dataclass
from textwrap import wrap

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
    "ConceptAtelierScoreComposition": 275,
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
    "ConceptAtelierCaptionNoise": 290,
    "ConceptAtelierSaveCaptions": 300,
    "ConceptAtelierAuditFocus": 258,
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
    "ConceptAtelierLearnConceptTokens": PICTURE - 102,
    "ConceptAtelierShowWordHeatmap": PICTURE,
    "ConceptAtelierScoreConcepts": 136 + LINES,
    "ConceptAtelierScoreComposition": 136 + LINES,
    "ConceptAtelierLoadConceptPrototypes": 5 * LINE,
    "ConceptAtelierEraseConcepts": 5 * LINE - 6,
    "ConceptAtelierGuardAgainstConcepts": 5 * LINE,
    "ConceptAtelierInvertPicture": PICTURE + 2 * LINE,
    "ConceptAtelierPurifyPicture": 2 * LINE,
    "ConceptAtelierSteerIngredients": 4 * LINE,
    "ConceptAtelierAuditIngredients": PICTURE + LINES,
    "ConceptAtelierScoreByConcepts": 5 * LINE,
    "ConceptAtelierPickBestOfBatch": PICTURE + 2 * LINE,
    "ConceptAtelierChunkPrompt": 5 * LINE,
    "ConceptAtelierTrainConceptHead": PICTURE - 60 + 3 * LINE,
    "ConceptAtelierCompleteCaptions": PICTURE,
    "ConceptAtelierLintConcepts": LINES,
    "ConceptAtelierCaptionNoise": PICTURE - 60 + 2 * LINE,
    "ConceptAtelierSaveCaptions": LINES,
    "ConceptAtelierAuditFocus": PICTURE - 60 + 3 * LINE,
    "ConceptAtelierScoreByConceptHead": 5 * LINE,
    "ConceptAtelierLocalizeSkill": 3 * LINE,
    "ConceptAtelierSkillOverlap": PICTURE - 60 + LINES,
    "ConceptAtelierStitchSkills": 3 * LINE,
    "ConceptAtelierGraftSkill": PICTURE - 60 + LINES,
    "ConceptAtelierSaveConceptTokens": 4 * LINE,
    "ConceptAtelierSaveErasureAsLora": 3 * LINE,
}
"""Room that nodes need once they have run."""
NOTE_LETTER, NOTE_LINE, NOTE_SIDES, NOTE_RIMS = 5, 16, 24, 16
"""Of a note in Nodes 2.0: a letter of its text, a line, and what lies beside the text and above and below it."""
FOOT = 40
"""How far the buttons below a node hang out of it, in the Nodes 2.0 of 0.19.3."""


def width_of_note(text: str, height: int) -> int:
    """The least width at which nobody has to scroll in a note of this height."""
    lines = (height - NOTE_RIMS) // NOTE_LINE
    letters, shown = 1, text.replace("*", "").replace("`", "")
    while len(wrap(shown, letters)) > lines:
        letters += 1
    return NOTE_SIDES + NOTE_LETTER * letters


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
