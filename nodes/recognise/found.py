"""What the nodes that find a subject in pictures take and give alike."""

from typing import Any

from torch import Tensor

from ...core.explain.bank import ConceptBank
from ...core.messages import plain
from ...core.recognise.parts.regions import Finding, crops_of
from ...host.jobs.recognise.subjects import boxes_for, found_report, found_sheet, scores_of
from ...host.schema import io
from ..picture_names import given_names, names_of
from ..sockets import BoundingBoxes, ConceptScores, page_under

THRESHOLD, MARGIN, CROP = 0.5, 0.1, 512


def finding_inputs() -> list[Any]:
    """Threshold, margin and size of crops."""
    return [
        io.Float.Input(
            "threshold",
            default=THRESHOLD,
            min=0.05,
            max=1.0,
            step=0.05,
            tooltip="How like the subject a pixel must be, from 0 to 1. 0.5 divides the examples best; lower finds "
            "more, higher is surer.",
        ),
        io.Float.Input(
            "margin",
            default=MARGIN,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="How much of the surroundings a crop shows on every side, as a share of the subject's size.",
        ),
        io.Int.Input(
            "crop_size", default=CROP, min=32, max=4096, step=8, tooltip="Pixels a side of the crops, which are square."
        ),
    ]


def finding_outputs() -> list[Any]:
    """What a subject that was found gives."""
    return [
        io.Mask.Output(display_name="MASKS", tooltip="One mask for each picture; empty where it was not found."),
        io.Image.Output(display_name="CROPS", tooltip="The square around the subject, of each picture that shows it."),
        io.Image.Output(display_name="SHEET", tooltip="The pictures with the subject outlined, the best first."),
        BoundingBoxes.Output(display_name="BOUNDING_BOX", tooltip="A list for each picture, empty where not found."),
        ConceptScores.Output(display_name="CONCEPT_SCORES", tooltip="How strongly each picture shows the subject."),
        io.String.Output(display_name="REPORT", tooltip="A line for each picture: its score and box."),
    ]


def give(
    cls: Any, finding: Finding, bank: ConceptBank, pictures: Tensor, given: str, margin: float, crop_size: int
) -> io.NodeOutput:
    """A finding in pictures (P, 3, H, W), named by the input ``names``, as the outputs of :func:`finding_outputs`.

    Raises ``ValueError`` where no picture shows the subject: there is nothing to crop.
    """
    names, subject = names_of(given, len(pictures)), bank.names[0]
    if not finding.present:
        best = int(finding.scores.argmax())
        name, score = plain(names[best]), f"{float(finding.scores[best]):.2f}"
        nearest = f"none of {len(pictures)} pictures shows {subject}; {name} is nearest, with a score of {score}"
        alone = f"{name} does not show {subject}: its score is {score}"
        raise ValueError(f"{alone if len(pictures) == 1 else nearest}. Lower the threshold, or give more examples")
    sheet = found_sheet(finding, pictures, names, subject)
    report = found_report(finding, names, subject)
    crops = crops_of(pictures, finding.boxes, margin, crop_size).movedim(1, -1)
    size = (pictures.shape[-2], pictures.shape[-1])
    shown = page_under(cls, sheet, report)
    boxes, scores = boxes_for(finding, subject, size), scores_of(finding, bank).of_pictures(given_names(given))
    return io.NodeOutput(finding.masks.float(), crops, sheet, boxes, scores, report, ui=shown)
