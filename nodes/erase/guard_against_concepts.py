"""Guard Against Concepts."""

from typing import Any

from ...core import types
from ...core.erase.guards.registry import METHODS
from ...core.settings import with_entries
from ...host.adapters import backbone_of, with_guard
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared.guards import SampledGuard, check_strength, described, guarded_concepts, preserved_concepts
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    method_verdict,
    preset_choice,
    preset_verdict,
    seed_input,
    settings_input,
    text_input,
    text_under,
)

PRESETS = list(next(iter(METHODS.values())).presets)


class GuardAgainstConcepts(io.ComfyNode):
    """A model that keeps concepts out while it draws."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierGuardAgainstConcepts",
            display_name="Guard Against Concepts",
            category=f"{CATEGORY}/erase",
            description=(
                "Keeps concepts out of pictures while any sampler draws them, without training and without a change of "
                "the weights. It also guards models from which a concept was erased, where the concept comes back "
                "through an inverted picture or a learnt embedding. At strength 0 the model is exactly as it was."
            ),
            search_aliases=["IRECE", "AdaVD", "DVE", "All but One", "safety guard", "unlearn", "forget", "block"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled."),
                io.Clip.Input("clip", tooltip="The text encoder of that model, without an erasure."),
                text_input("concepts", "cat", "Words or phrases to keep out, one per line or with commas."),
                text_input(
                    "anchors",
                    "",
                    "What may be drawn instead: one anchor for all concepts, or one for each concept in "
                    "the same order. Empty stands for nothing in particular. IRECE only compares the "
                    "concept with its anchor; AdaVD uses none.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default="guidance",
                    tooltip="\n".join(
                        f"{guard.title}: {guard.help} {guard.note}".strip() for guard in METHODS.values()
                    ),
                ),
                preset_choice(
                    PRESETS, "small: for the lab model. paper: as the paper of the method has it, where we know it."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-5.0,
                    max=5.0,
                    step=0.05,
                    tooltip="Factor on the correction. 0 changes nothing. Below 0 the concept becomes stronger where "
                    "the picture already shows it; IRECE cannot do that.",
                ),
                seed_input("Random seed of the noise that IRECE draws."),
                io.Model.Input(
                    "original",
                    optional=True,
                    tooltip="The model before anything was erased, by which IRECE finds the concept. Without it, the "
                    "model itself is asked.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the lists may name."),
                settings_input(
                    "Settings of the method, as name=value, separated by commas; empty keeps the preset's. "
                    "end=0.5: the guard acts in the first half of denoising. IRECE: present=0.3, threshold=0.4, "
                    "noise=0.7, spread=1, draws=2. AdaVD: threshold=0.93, slope=100."
                ),
                io.String.Input(
                    "preserve",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Words or phrases to keep, separated by commas. IRECE leaves the places of these things "
                    "as they are. The other methods take nothing out in the directions of the words. IRECE, All but "
                    "One and DVE make further passes in each step for each entry.",
                ),
            ],
            outputs=[io.Model.Output(display_name="MODEL", tooltip="Connect this MODEL to any sampler.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        concepts: str,
        anchors: str,
        method: str,
        preset: str,
        strength: float,
        seed: int,
        original: Any = None,
        tokens: types.ConceptTokens | None = None,
        settings: str = "",
        preserve: str = "",
    ) -> io.NodeOutput:
        check_marks(" ".join((concepts, anchors, preserve)), tokens)
        backbone = backbone_of(model, clip)
        guard = METHODS[method]
        check_strength(guard, strength)
        base = guard.preset(preset)
        values = with_entries(method, base, lines_of(settings))
        placeholders = tokens.placeholders() if tokens else {}
        read = guarded_concepts(backbone, lines_of(concepts), lines_of(anchors) or "", placeholders, strength)
        kept = preserved_concepts(backbone, lines_of(preserve), lines_of(concepts), placeholders)
        asked = SampledGuard(guard, read, values, strength, original, seed, preserve=kept)
        guarded = with_guard(model, asked) if strength else model
        return io.NodeOutput(guarded, ui=text_under(described(guard, values, read, strength)))

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concepts: str | None = None,
        anchors: str | None = None,
        method: str | None = None,
        settings: str | None = None,
        preserve: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, PRESETS),
            method_verdict(METHODS, method, preset, settings),
            list_verdict("concepts", concepts),
            embeddings_verdict(concepts=concepts, anchors=anchors, preserve=preserve),
        )
