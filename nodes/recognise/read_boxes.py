"""Read Boxes."""

from typing import Any

import torch
from torch import Tensor

from ...core.masks.boxes import box_mask
from ...core.messages import listed, plain, shown
from ...host.jobs.bounding_boxes import element_of
from ...host.jobs.recognise.boxes_in_text import ORDERS, UNITS, ReadBox, answers_of, boxes_in, read_box
from ...host.pictures.drawing import overlay_masks
from ...host.schema import io
from ..picture_names import names_of, names_socket
from ..sockets import CATEGORY, BoundingBoxes, page_under, picture_batch, text_input


class ReadBoxes(io.ComfyNode):
    """The boxes in a text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierReadBoxes",
            display_name="Read Boxes",
            category=f"{CATEGORY}/recognise",
            description=(
                "Reads the boxes in the answer of a language model that sees pictures: JSON, [12, 30, 200, 180], or "
                "<box> tags, in pixels, shares, or thousandths of the sides. Find My Subject takes them as masks of "
                "its examples, Compose Concepts as places."
            ),
            search_aliases=["parse bounding box", "VLM", "Qwen", "Gemini", "grounding", "bbox", "detection JSON"],
            is_output_node=True,
            inputs=[
                text_input(
                    "text",
                    "",
                    "The model's answer. For several pictures write one answer a line, or divide answers by "
                    "lines of ---.",
                ),
                io.Image.Input("pictures", tooltip="The pictures that the model saw, in the order of the answers."),
                io.Combo.Input(
                    "units",
                    options=list(UNITS),
                    default=UNITS[0],
                    tooltip="What the numbers count. automatic: numbers up to 1 are shares; numbers in <box> tags, "
                    "under box_2d, or beyond the picture are thousandths; others are pixels. REPORT says what was "
                    "taken.",
                ),
                io.Combo.Input(
                    "order",
                    options=list(ORDERS),
                    default=next(iter(ORDERS)),
                    tooltip="What the four numbers are. automatic: left, top, right, bottom, but top and bottom first "
                    "under box_2d, as Gemini writes. Names such as x1 or width in JSON decide by themselves.",
                ),
                io.String.Input(
                    "by",
                    default="",
                    optional=True,
                    tooltip="Only boxes with this name are taken. Empty takes all.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=65536,
                    optional=True,
                    advanced=True,
                    tooltip="Width in pixels of the picture that the model saw, where it was made smaller. 0 takes "
                    "that of pictures.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=65536,
                    optional=True,
                    advanced=True,
                    tooltip="Height in pixels of the picture that the model saw. 0 takes that of pictures.",
                ),
                names_socket(),
            ],
            outputs=[
                BoundingBoxes.Output(display_name="BOUNDING_BOX", tooltip="A list of boxes for each picture."),
                io.Mask.Output(display_name="MASKS", tooltip="One mask for each picture: all of its boxes."),
                io.Image.Output(display_name="OVERLAY", tooltip="The pictures with their boxes."),
                io.String.Output(display_name="REPORT", tooltip="A line for each box: its name, place and units."),
            ],
        )

    @classmethod
    def execute(
        cls,
        text: str,
        pictures: Tensor,
        units: str,
        order: str,
        by: str = "",
        width: int = 0,
        height: int = 0,
        names: str = "",
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        called = names_of(names, len(given))
        rows, columns = given.shape[-2:]
        seen_size = (height or rows, width or columns)
        found = [
            [read_box(one, seen_size, units, order) for one in boxes_in(answer)]
            for answer in answers_of(text, len(given))
        ]
        chosen = _named(found, by.strip())
        elements = [[element_of(one.box, one.name, columns, rows) for one in boxes] for boxes in chosen]
        masks = [[box_mask(one.box, rows, columns) for one in boxes] for boxes in chosen]
        overlay = torch.stack(
            [
                overlay_masks(
                    picture.movedim(0, -1),
                    torch.stack(drawn) if drawn else torch.zeros(0, rows, columns),
                    [one.name for one in boxes],
                )
                for picture, drawn, boxes in zip(given, masks, chosen, strict=True)
            ]
        )
        union = torch.stack([torch.stack(one).amax(0) if one else torch.zeros(rows, columns) for one in masks])
        report = "\n".join(_line(name, one) for name, boxes in zip(called, chosen, strict=True) for one in boxes)
        under: dict[str, Any] = page_under(cls, overlay, report)
        return io.NodeOutput(elements, union, overlay, report, ui=under)


def _named(found: list[list[ReadBox]], by: str) -> list[list[ReadBox]]:
    """The boxes of a name, or all. Raises ``ValueError`` where there is none."""
    chosen = [[one for one in boxes if not by or one.name.lower() == by.lower()] for boxes in found]
    if not any(chosen):
        names = listed(dict.fromkeys(one.name for boxes in found for one in boxes if one.name))
        if any(found):
            raise ValueError(f"no box is named {shown(by)}; names are {names or 'not given'}")
        raise ValueError("the answer names no box in any picture (an empty list); ask the model again")
    return chosen


def _line(picture: str, one: ReadBox) -> str:
    where = ", ".join(f"{100 * side:.0f}%" for side in one.box)
    return f"{plain(picture)}: {plain(one.name) or 'box'} {where} (read as {one.units})"
