"""What the nodes that find a subject in pictures take and give alike."""

from typing import Any

from torch import Tensor

from ...core.explain.bank import ConceptBank
from ...core.recognise.parts.regions import Finding, crops_of
from ...host.jobs.recognise.subjects import boxes_for, found_report, found_sheet, names_for, scores_of
from ...host.schema import io
from ..sockets import BoundingBoxes, ConceptScores, page_under

THRESHOLD, MARGIN, CROP = 0.5, 0.1, 512


def finding_inputs() -> list[Any]:
    """Threshold, margin, size of crops and names of pictures."""
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


def names_input() -> Any:
    """Names of the pictures."""
    return io.String.Input(
        "names",
        default="",
        multiline=True,
        optional=True,
        tooltip="Names of the pictures, one per line, such as Load Picture Folder gives; empty numbers them.",
    )


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
    cls: Any, finding: Finding, bank: ConceptBank, pictures: Tensor, names: str, margin: float, crop_size: int
) -> io.NodeOutput:
    """A finding in pictures (P, 3, H, W) as the outputs of :func:`finding_outputs`.

    Raises ``ValueError`` where no picture shows the subject: there is nothing to crop.
    """
    called, subject = names_for(len(pictures), [line for line in names.splitlines() if line.strip()]), bank.names[0]
    if not finding.present:
        best = int(finding.scores.argmax())
        raise ValueError(
            f"none of the {len(pictures)} pictures shows {subject}; {called[best]} is nearest with a score of "
            f"{float(finding.scores[best]):.2f}. Lower the threshold, or give more examples"
        )
    sheet = found_sheet(finding, pictures, called, subject)
    report = found_report(finding, called, subject)
    crops = crops_of(pictures, finding.boxes, margin, crop_size).movedim(1, -1)
    size = (pictures.shape[-2], pictures.shape[-1])
    shown = page_under(cls, sheet, report)
    boxes = boxes_for(finding, subject, size)
    return io.NodeOutput(finding.masks.float(), crops, sheet, boxes, scores_of(finding, bank), report, ui=shown)
