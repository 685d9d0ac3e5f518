"""Adaptive Weights."""

from ...core.data.adaptive_weights import GREATEST, RATE, adaptive_weights
from ...host.jobs.data.caption_reports import losses_of, noise_of, table
from ...host.schema import io, ui
from ..sockets import CATEGORY, text_input


class AdaptiveWeights(io.ComfyNode):
    """How much each picture's label should weigh in the next epoch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierAdaptiveWeights",
            display_name="Adaptive Weights",
            category=f"{CATEGORY}/data",
            description=(
                "Turns the logged losses of a training run into a weight for each picture that balances "
                "training on its label against training on consistency, as AdaWAC does. Losses are "
                "compared within a noise level, and pictures whose caption is probably wrong weigh less. "
                "It works with the log of any trainer."
            ),
            search_aliases=["AdaWAC", "sample weights", "repeats", "loss log", "reweighting"],
            is_output_node=True,
            inputs=[
                text_input(
                    "losses",
                    "",
                    "A line for each logged step: picture, labelled loss, consistency loss, noise level. The "
                    "level may be left out, and a heading is skipped.",
                ),
                io.Float.Input(
                    "rate",
                    default=RATE,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="How far losses move the weights; the paper's is 2.",
                ),
                io.String.Input(
                    "noise",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="TABLE of Caption Noise, so that wrong captions, whose loss is high too, do not gain "
                    "weight.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="TABLE",
                    tooltip=f"CSV: picture, weight of its label (at most {GREATEST:g}), weight of consistency.",
                )
            ],
        )

    @classmethod
    def execute(cls, losses: str, rate: float, noise: str = "") -> io.NodeOutput:
        found = adaptive_weights(losses_of(losses), rate, noise_of(noise) if noise.strip() else None)
        rows = [[name, f"{weight:.4f}", f"{1 - weight:.4f}"] for name, weight in found.items()]
        written = table(("picture", "label", "consistency"), rows)
        return io.NodeOutput(written, ui=ui.PreviewText(written))
