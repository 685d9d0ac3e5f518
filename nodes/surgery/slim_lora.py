"""Slim LoRA."""

from typing import Any

from ...core.files import change_tensors
from ...core.surgery.localiser import differing
from ...core.surgery.refactor import Slimmed, slim
from ...core.surgery.skill import TEXT
from ...core.types import LowRank
from ...host.adapters import backbone_of, weights_of
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..model_files import SavesModelFile, name_input, saved_text
from ..sockets import CATEGORY


class SlimLora(SavesModelFile):
    """A fine-tune or a LoRA as a LoRA of the smallest ranks that hold enough of it."""

    KIND = "loras"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSlimLora",
            display_name="Slim LoRA",
            category=f"{CATEGORY}/surgery",
            description=(
                "Writes what a LoRA or a fine-tune changes as a new LoRA file, with the smallest rank for each weight "
                "that still holds the share you ask for. It also turns a fine-tuned checkpoint into a LoRA, and "
                "several LoRAs in a row into one."
            ),
            search_aliases=["resize LoRA", "extract LoRA", "SVD", "reduce rank", "merge LoRAs into one"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model without the LoRA."),
                io.Model.Input("tuned_model", tooltip="The model with it: the MODEL of a LoRA loader, or a fine-tune."),
                io.Float.Input(
                    "keep",
                    default=95.0,
                    min=1.0,
                    max=100.0,
                    step=0.5,
                    tooltip="Percentage of the squared norm of each weight's change to keep.",
                ),
                io.Int.Input(
                    "max_rank",
                    default=16,
                    min=1,
                    max=256,
                    tooltip="Greatest rank. Weights that would need more hold less than you ask for.",
                ),
                name_input("atelier/slim"),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder without the LoRA."),
                io.Clip.Input("tuned_clip", optional=True, tooltip="The text encoder with it; needs clip as well."),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file for a LoRA loader.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        tuned_model: Any,
        keep: float,
        max_rank: int,
        name: str,
        clip: Any = None,
        tuned_clip: Any = None,
    ) -> io.NodeOutput:
        if (clip is None) != (tuned_clip is None):
            raise ValueError("clip and tuned_clip belong together: connect both, or neither")
        backbone = backbone_of(model=model, clip=clip)
        base, tuned = weights_of(model, clip), weights_of(tuned_model, tuned_clip)
        names = differing(base, tuned, lambda name: True)
        found = slim(base, tuned, names, keep / 100, max_rank, start_progress(cls.hidden.unique_id))
        denoiser, text = _parts(found)
        facts = {"format": "concept-atelier slim LoRA", "family": backbone.family, "kept": f"{found.kept:.4f}"}
        content = change_tensors(backbone.family, denoiser, text), facts
        saved = cls.write(name, content)
        size = saved.path.stat().st_size / 1e6
        said = f"{saved.path} ({size:.1f} MB): {_said(found)}"
        return io.NodeOutput(f"{saved.name}.safetensors", ui=saved_text(said, saved))


def _parts(found: Slimmed) -> tuple[dict[str, LowRank], dict[str, dict[str, LowRank]]]:
    """The factors of the denoiser, and those of text encoders by encoder."""
    denoiser: dict[str, LowRank] = {}
    text: dict[str, dict[str, LowRank]] = {}
    for name, factors in found.factors.items():
        if name.startswith(TEXT):
            encoder, _, weight = name.removeprefix(TEXT).partition(".")
            text.setdefault(encoder, {})[weight] = factors
        else:
            denoiser[name] = factors
    return denoiser, text


def _said(found: Slimmed) -> str:
    ranks = sorted(found.ranks)
    said = (
        f"{len(ranks)} weights of rank {ranks[0]} to {ranks[-1]} (median {ranks[len(ranks) // 2]}), which hold "
        f"{found.kept:.1%} of the squared change."
    )
    left = f" {len(found.left_out)} biases and norms are left out, which a LoRA does not hold." * bool(found.left_out)
    return said + left
