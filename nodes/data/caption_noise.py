"""Caption Noise."""

from typing import Any

from torch import Tensor

from ...core.data.caption_noise import caption_noise, parts_of
from ...core.messages import there_are
from ...core.prompts.sentences import REFERENCE
from ...host.files import folders
from ...host.jobs.data.caption_reports import COLUMNS, noise_rows, noise_sheet, table
from ...host.jobs.evaluate.score_reports import save_reports
from ...host.jobs.paired_texts import word_features
from ...host.jobs.recognise.captions import lines_for
from ...host.jobs.vision import picture_features
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..sockets import CATEGORY, page_under, picture_batch, text_input


class CaptionNoise(io.ComfyNode):
    """Captions of a training set that do not fit their pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierCaptionNoise",
            display_name="Caption Noise",
            category=f"{CATEGORY}/data",
            description=(
                "Finds captions that do not fit their pictures before you train on them. Each picture is "
                "compared with its own caption and with texts of all kinds. If the pairs fall into two "
                "groups, each pair gets a probability that its caption is wrong, and a weight for "
                "training; otherwise the node says so and keeps all."
            ),
            search_aliases=["dataset cleaning", "wrong captions", "CLIP score", "NEVLP", "mislabelled", "training set"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="The training set, from Load Picture Folder."),
                text_input(
                    "captions",
                    "",
                    "A caption for each picture, one per line, in their order: CAPTIONS of Load Picture Folder.",
                ),
                io.ClipVision.Input(
                    "clip_vision", tooltip="A picture encoder, from Load CLIP Vision or Load Lab CLIP Vision."
                ),
                io.Clip.Input("clip", tooltip="The text encoder that was trained with it."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "How far the weight of a certainly wrong caption falls: at 1 to 0; at 0 every weight stays 1."
                    ),
                ),
                io.String.Input(
                    "filename_prefix",
                    default="reports/captions",
                    tooltip="Name of a CSV file in the output folder; a / makes a folder. Empty writes none.",
                ),
                io.String.Input(
                    "names",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="Names of the pictures, one per line: NAMES of Load Picture Folder. Empty numbers them.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="SHEET", tooltip="The pictures that their captions fit worst."),
                io.String.Output(
                    display_name="TABLE",
                    tooltip="CSV, the worst first: fit, probability of noise, weight, what to do, and the caption that "
                    "is nearest to the picture.",
                ),
                io.String.Output(display_name="REPORT", tooltip="What was found, in words."),
                io.Image.Output(display_name="KEPT", tooltip="The pictures whose captions seem to fit, in order."),
                io.String.Output(display_name="KEPT_CAPTIONS", tooltip="Their captions, one per line."),
                io.String.Output(
                    display_name="KEPT_WEIGHTS",
                    tooltip="Their weights, one per line: for picture_weights of Learn Concept Tokens.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        captions: str,
        clip_vision: Any,
        clip: Any,
        strength: float,
        filename_prefix: str,
        names: str = "",
    ) -> io.NodeOutput:
        if filename_prefix:
            folders.safe_name(filename_prefix, "filename_prefix")  # a linked one was not checked before the run
        batch = picture_batch(pictures)
        texts = lines_for(captions, len(batch))
        called = lines_for(names, len(batch)) if names.strip() else [str(number) for number in range(1, len(batch) + 1)]
        if len(texts) != len(batch) or len(called) != len(batch):
            counts = there_are((len(batch), "picture"), (len(texts), "caption"), (len(called), "name"))
            raise ValueError(f"{counts}; write one line for each picture")
        seen = picture_features(clip_vision, batch)
        sentences, owners = parts_of(texts)
        progress = start_progress(cls.hidden.unique_id)
        read = [*sentences, *REFERENCE]
        features = word_features(clip_vision, clip, read, seen.shape[1], template="{}", on_step=progress)
        own, others = features.split([len(sentences), len(REFERENCE)])
        found = caption_noise(seen, own, owners, texts, others)
        sheet = noise_sheet(found, batch, called, texts)
        written = table(COLUMNS, noise_rows(found, called, texts, strength))
        if filename_prefix:
            save_reports(folders.current().output, filename_prefix, {"csv": written})
        shown = page_under(cls, sheet, found.said)
        kept = [number for number in range(len(texts)) if found.verdict(number) == "keep"]
        left = batch[kept].movedim(1, -1), "\n".join(texts[number] for number in kept)
        weights = "\n".join(f"{float(weight):.4f}" for weight in found.weights(strength)[kept])
        return io.NodeOutput(sheet, written, found.said, *left, weights, ui=shown)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> bool | str:
        return folders.name_verdict(filename_prefix or None, "filename_prefix")
