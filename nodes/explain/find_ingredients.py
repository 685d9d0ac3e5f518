"""Find Ingredients."""

from typing import Any

from ...core.explain import activations as core_activations
from ...core.explain import bank as core_bank
from ...core.explain.recursion import as_parts, positions_of
from ...core.explain.registry import METHODS
from ...core.settings import read_settings
from ...host.jobs.explain.ingredients import usage, valid_for
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    Activations,
    ConceptBank,
    first_fault,
    lines_of,
    method_verdict,
    parts_of_input,
    preset_choice,
    preset_verdict,
    seed_input,
    settings_input,
)

PRESETS = tuple(dict.fromkeys(preset for method in METHODS.values() for preset in method.presets))


class FindIngredients(io.ComfyNode):
    """What recurs in activations, by the methods of the registry."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierFindIngredients",
            display_name="Find Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Finds what recurs in activations: directions that, added up, make every position of every picture. "
                "Nobody has to name them first. The node tries several seeds, keeps the fit that explains most, and "
                "measures how stable each ingredient is."
            ),
            search_aliases=["CRAFT", "NMF", "concept discovery", "sparse autoencoder", "SAE", "dictionary", "k-means"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                Activations.Input("activations", tooltip="From Record Activations."),
                io.Int.Input(
                    "count",
                    default=12,
                    min=1,
                    max=1024,
                    tooltip="How many ingredients. More are purer, fewer are easier to look through; at most 32 are "
                    "shown.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default=next(iter(METHODS)),
                    tooltip="\n".join(f"{one.title}: {one.help}" for one in METHODS.values()),
                ),
                preset_choice(PRESETS, "small: reads fewer positions. paper: as the paper of the method has it."),
                seed_input("Random seed of the first fit."),
                io.Int.Input(
                    "fits",
                    default=3,
                    min=1,
                    max=10,
                    optional=True,
                    advanced=True,
                    tooltip="How many times to find them, each from another seed. Stability is how well they agree; "
                    "1 measures none.",
                ),
                settings_input(
                    "Settings of the method as name=value, separated by commas; empty keeps the preset's: "
                    "rows=50000 reads more positions."
                ),
                Activations.Input(
                    "more",
                    optional=True,
                    tooltip="Activations of further pictures, recorded alike: ingredients of both together.",
                ),
                io.Boolean.Input(
                    "halves",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Also find ingredients in each half of the pictures separately, and report "
                    "how well each one is found again. One that is not found again depends on "
                    "which pictures you have. Takes two more fits.",
                ),
                parts_of_input("Find Ingredients"),
                io.String.Input(
                    "ingredient",
                    default="1",
                    optional=True,
                    advanced=True,
                    tooltip="With parts_of: the name or number of the ingredient to take apart.",
                ),
            ],
            outputs=[ConceptBank.Output(display_name="CONCEPT_BANK", tooltip="The ingredients.")],
        )

    @classmethod
    def execute(
        cls,
        activations: core_activations.Activations,
        count: int,
        method: str,
        preset: str,
        seed: int,
        fits: int = 3,
        settings: str = "",
        more: core_activations.Activations | None = None,
        halves: bool = False,
        parts_of: core_bank.ConceptCodes | None = None,
        ingredient: str = "1",
    ) -> io.NodeOutput:
        finder: Any = METHODS[method]
        chosen = finder.preset(preset)
        changes = read_settings(method, lines_of(settings), chosen)
        activations = activations if more is None else activations.joined(more)
        concept = None if parts_of is None else parts_of.bank.index(ingredient.strip())
        within = None if parts_of is None or concept is None else positions_of(parts_of, concept, activations)
        progress = start_progress(cls.hidden.unique_id)
        settled = type(chosen)(**{**vars(chosen), **changes})
        bank = finder.bank(activations, count, settled, seed, fits, progress, halves, within)
        if parts_of is not None and concept is not None:
            bank = as_parts(bank, parts_of, concept)
        return io.NodeOutput(bank, ui=ui.PreviewText(f"{valid_for(bank)} {usage(bank)}".strip()))

    @classmethod
    def validate_inputs(
        cls, preset: str | None = None, method: str | None = None, settings: str | None = None
    ) -> bool | str:
        return first_fault(preset_verdict(preset, PRESETS), method_verdict(METHODS, method, preset, settings))
