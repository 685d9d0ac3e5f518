"""Find My Subject."""

from typing import Any

import torch
from torch import Tensor

from ...core.explain.registry import encode
from ...core.recognise.parts.regions import find_subject
from ...core.recognise.registry import SUBJECTS
from ...host.jobs.vision import record_encoder
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..picture_names import names_input
from ..sockets import CATEGORY, masks_of, picture_batch
from .found import finding_inputs, finding_outputs, give
from .prototypes import method_input


class FindMySubject(io.ComfyNode):
    """One node from examples to crops."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierFindMySubject",
            display_name="Find My Subject",
            category=f"{CATEGORY}/recognise",
            description=(
                "Finds one subject, such as your own dog, in many pictures, from a few examples with masks. It goes by "
                "how the subject looks and never reads a word for it. Connect pictures of other dogs to others, and "
                "it keeps them apart better."
            ),
            search_aliases=[
                "IPLoc",
                "personal localization",
                "crop my character",
                "LoRA dataset",
                "few-shot",
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="Where to look, such as Load Picture Folder gives."),
                io.Image.Input("examples", tooltip="One to twenty pictures that show the subject."),
                io.Mask.Input("masks", tooltip="Where it is in each example, in the same order; 1 is inside."),
                io.ClipVision.Input(
                    "clip_vision",
                    tooltip="A picture encoder, from Load CLIP Vision (DINOv2 finds places best) or Load Lab CLIP "
                    "Vision.",
                ),
                method_input(),
                *finding_inputs(),
                io.Image.Input(
                    "others",
                    optional=True,
                    tooltip="Pictures that do not show it, such as others of its kind, which it must not be taken for.",
                ),
                io.String.Input(
                    "site",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="The layer of the encoder, as in Record Activations. Empty takes a good one.",
                ),
                names_input(),
            ],
            outputs=finding_outputs(),
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        examples: Tensor,
        masks: Tensor,
        clip_vision: Any,
        method: str,
        threshold: float,
        margin: float,
        crop_size: int,
        others: Tensor | None = None,
        site: str = "",
        names: str = "",
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        seen, regions = record_encoder(clip_vision, picture_batch(examples), site), masks_of(masks)
        if others is not None:
            without = record_encoder(clip_vision, picture_batch(others), site)
            seen = seen.joined(without)
            regions = torch.cat([regions, torch.zeros(len(without), *regions.shape[1:])])
        learner: Any = SUBJECTS[method]
        bank = learner.bank(seen, regions, "subject")
        codes = encode(bank, record_encoder(clip_vision, given, site, progress))
        return give(cls, find_subject(codes, 0, given, threshold), bank, given, names, margin, crop_size)
