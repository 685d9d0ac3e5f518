"""Record While Sampling and Read Recording."""

from typing import Any

from ...core.explain import sampled
from ...core.explain.recording import NOISE
from ...core.explain.sampled import read_recording
from ...core.messages import counted, shown
from ...host.adapters import backbone_of, with_guard
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import CATEGORY, ActivationRecording, Activations, lines_of


class RecordWhileSampling(io.ComfyNode):
    """A model whose sampling runs can be read afterwards."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierRecordWhileSampling",
            display_name="Record While Sampling",
            category=f"{CATEGORY}/explain",
            description=(
                "Returns a MODEL that keeps what any sampler passes through at noise levels that you choose. Read "
                "Recording then gives activations of any layer there. The pictures stay bit-identical, and sampling "
                "takes no longer. Latents of the last eight runs are kept."
            ),
            search_aliases=["activations", "hidden states", "record latents", "SAeUron", "noise level"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled."),
                io.String.Input(
                    "noise",
                    default="0.1",
                    tooltip="Shares of noise at which to record, 0 to 1, separated by commas. 0.1, the "
                    "default of Record Activations, is near the end of sampling; 0.9 is near the "
                    "beginning.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="Connect this MODEL to any sampler."),
                ActivationRecording.Output(display_name="RECORDING", tooltip="For Read Recording."),
            ],
        )

    @classmethod
    def execute(cls, model: Any, noise: str) -> io.NodeOutput:
        recording = sampled.Recording(_shares(noise))
        return io.NodeOutput(with_guard(model, recording), recording)


class ReadRecording(io.ComfyNode):
    """Activations of what a sampler passed through."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierReadRecording",
            display_name="Read Recording",
            category=f"{CATEGORY}/explain",
            description=(
                "Gives activations of what a sampler passed through, at one of the noise levels that Record While "
                "Sampling kept and at any layer. All nodes about ingredients take them, with the decoded pictures."
            ),
            search_aliases=["activations", "hidden states", "record while sampling"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                ActivationRecording.Input("recording", tooltip="From Record While Sampling."),
                io.Latent.Input(
                    "samples",
                    tooltip="The latent that a sampler returned. The activations are those of the sampling run that it "
                    "came from.",
                ),
                io.Model.Input(
                    "model", tooltip="The model that reads it: the one that Record While Sampling was given."
                ),
                io.Clip.Input("clip", tooltip="The text encoder of that model."),
                io.Float.Input(
                    "noise",
                    default=NOISE,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Which of the recorded shares of noise to read.",
                ),
                io.String.Input(
                    "site", default="", tooltip="The layer, as Record Activations takes it; empty is the default."
                ),
                io.String.Input(
                    "text",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "The prompt that the model gets for this reading. Empty uses the empty "
                        "prompt, as Record Activations does by default."
                    ),
                ),
            ],
            outputs=[
                Activations.Output(
                    display_name="ACTIVATIONS", tooltip="For Find Ingredients, Show Ingredients and Audit Ingredients."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        recording: sampled.Recording,
        samples: Any,
        model: Any,
        clip: Any,
        noise: float,
        site: str,
        text: str = "",
    ) -> io.NodeOutput:
        backbone, latent = backbone_of(model, clip), samples["samples"]
        progress = start_progress(cls.hidden.unique_id)
        found, note = read_recording(backbone, recording, noise, latent, site, text, progress)
        height, width = found.grid
        where = f"{height}x{width} positions each, at noise {noise:g}. Site: {found.origin.site}"
        said = f"{counted(len(latent), 'picture')}, {where}"
        return io.NodeOutput(found, ui=ui.PreviewText(f"{said}\n{note}".strip()))


def _shares(text: str) -> tuple[float, ...]:
    """Numbers that are separated by commas. Raises ``ValueError`` for what is no number."""
    found = []
    for part in lines_of(text):
        try:
            found.append(float(part))
        except ValueError:
            raise ValueError(f"noise must be numbers of 0 to 1, such as 0.1, 0.5; got {shown(part)}") from None
    return tuple(dict.fromkeys(found))
