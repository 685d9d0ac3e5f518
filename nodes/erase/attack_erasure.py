"""Attack Erasure."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...core import types
from ...core.attack.parts.settings import PRESETS, AttackSettings
from ...core.attack.parts.task import AttackTask
from ...core.attack.registry import SCENARIOS
from ...core.attack.run import Attack, attack, chosen, cost
from ...core.backbone import Backbone, Placeholders
from ...core.messages import listed, shown
from ...core.settings import preset_name, with_entries
from ...host.adapters import at_work, backbone_of
from ...host.jobs.erase.attack_scenarios import (
    CHOICES,
    FurtherErasures,
    NamesByDrawing,
    attack_sheet,
    described,
    guard_of,
    learning_names,
    said_before,
    shown_pictures,
)
from ...host.jobs.prompts import check_marks
from ...host.jobs.vision import picture_features
from ...host.schema import io
from ...host.shared.progress import Counter, say
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    ErasureAttack,
    embeddings_verdict,
    erasure_inputs,
    first_fault,
    lines_of,
    list_verdict,
    page_under,
    picture_batch,
    preset_choice,
    preset_verdict,
    seed_input,
    settings_input,
    settings_verdict,
    text_input,
)


class AttackErasure(io.ComfyNode):
    """Whether an erased concept comes back by other ways than its name."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierAttackErasure",
            display_name="Attack Erasure",
            category=f"{CATEGORY}/erase",
            description=(
                "Asks an erased model for the concept by synonyms, learnt embeddings, inverted latents, "
                "pictures, added noise, further erasures and training, and says how often it comes back. "
                "Every figure comes with a floor (pictures without the concept) and a ceiling (the "
                "original model). Most scenarios take seconds to minutes; embeddings and the re-learning "
                "curve train. Both models stay as they are. If erased_model comes from Guard Against "
                "Concepts, the guard is active whenever that model draws."
            ),
            search_aliases=["red team", "robustness", "M-ErasureBench", "concept erasure", "unlearn", "relearn"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *erasure_inputs("The picture encoder that distinguishes the concept from the other things"),
                io.String.Input("concept", default="cat", tooltip="The concept that was erased: one name."),
                text_input(
                    "others",
                    "dog, house, car, tree",
                    "Other things that a picture may show, one per line or separated by commas. A picture "
                    "counts as showing the concept if it is more similar to the concept than to any of "
                    "these.",
                ),
                text_input(
                    "synonyms",
                    "",
                    "Other names of the concept, one per line or separated by commas. Empty leaves their scenario out.",
                ),
                text_input(
                    "relatives",
                    "",
                    (
                        "Broader and narrower terms for the concept, such as animal or kitten. Empty leaves "
                        "this scenario out."
                    ),
                ),
                io.Combo.Input(
                    "scenarios",
                    options=list(CHOICES),
                    default="five",
                    tooltip="\n".join(
                        f"{choice}: {', '.join(SCENARIOS[name].title for name in names)}."
                        for choice, names in CHOICES.items()
                    ),
                ),
                preset_choice(
                    list(PRESETS),
                    "small: for the lab model and other small latents, some minutes on a CPU. paper: pictures of 512 "
                    "pixels and a thousand training steps for an embedding.",
                ),
                seed_input("Random seed for all pictures and trainings."),
                settings_input(
                    "Settings as name=value, separated by commas; empty keeps the preset's. draws=8 pictures a "
                    "scenario, steps=20, guidance=4, side=768, learn_steps=500, noise=0.4 (img2img), "
                    "relearn_steps=100, relearn_every=10."
                ),
                io.String.Input(
                    "only",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Run these scenarios instead of those chosen above, separated by commas: "
                    + "".join(f"\n{name}: {one.help}" for name, one in SCENARIOS.items()),
                ),
                io.Image.Input(
                    "pictures",
                    optional=True,
                    tooltip="Pictures of the concept for attacks that begin with pictures. Without any, "
                    "the original model draws them. Pictures that are not square are squeezed to "
                    "squares.",
                ),
                io.Clip.Input(
                    "erased_clip",
                    optional=True,
                    tooltip="The CLIP of the erasure, for methods that change the text encoder (HiRM, few-shot).",
                ),
                ConceptTokens.Input(
                    "tokens", optional=True, tooltip="Learnt tokens that the lists may name, such as <apple>."
                ),
            ],
            outputs=[
                ErasureAttack.Output(display_name="ATTACK", tooltip="All figures and pictures, for Erasure Report."),
                io.Image.Output(
                    display_name="SHEET",
                    tooltip="Two rows for each scenario: pictures of the erased model, and of the original model from "
                    "the same noise.",
                ),
                io.String.Output(display_name="TEXT", tooltip="The figures, a line for each scenario."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        erased_model: Any,
        clip: Any,
        vae: Any,
        clip_vision: Any,
        concept: str,
        others: str,
        synonyms: str,
        relatives: str,
        scenarios: str,
        preset: str,
        seed: int,
        settings: str = "",
        only: str = "",
        pictures: Tensor | None = None,
        erased_clip: Any = None,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(" ".join((concept, others, synonyms, relatives)), tokens)
        placeholders = tokens.placeholders() if tokens else None
        names = [one.name for one in chosen(lines_of(only) or CHOICES[scenarios])]
        how = with_entries("Attack Erasure", PRESETS[preset_name(preset)], lines_of(settings))
        known, count = (concept.strip(), *lines_of(others)), Counter(cls.hidden.unique_id)
        changed_clip = erased_clip or clip
        original, erased = backbone_of(model, clip, vae), backbone_of(erased_model, changed_clip, vae)
        task = AttackTask(
            original,
            erased,
            concept=known[0],
            others=known[1:],
            detector=_detector(original, clip_vision, known, how, seed, count, placeholders),
            settings=how,
            synonyms=tuple(lines_of(synonyms)),
            relatives=tuple(lines_of(relatives)),
            pictures=shown_pictures(None if pictures is None else picture_batch(pictures), how.side),
            erase_more=FurtherErasures(erased_model, changed_clip, vae, preset_name(preset), placeholders),
            on_passes=count,
            seed=seed,
            guard=guard_of(erased_model),
            placeholders=placeholders,
        )
        count.total = cost(task, names) + learning_names(known, how)
        found = _attacked(task, names, count.total)
        said, sheet = described(found), attack_sheet(found)
        return io.NodeOutput(found, sheet, said, ui=page_under(cls, sheet, said))

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concept: str | None = None,
        others: str | None = None,
        only: str | None = None,
        synonyms: str | None = None,
        relatives: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            settings_verdict("Attack Erasure", PRESETS, preset, settings),
            list_verdict("concept", concept),
            list_verdict("others", others),
            _known(only),
            embeddings_verdict(concept=concept, others=others, synonyms=synonyms, relatives=relatives),
        )


def _known(only: str | None) -> bool | str:
    unknown = [name for name in lines_of(only or "") if name not in SCENARIOS]
    return f"only: there is no scenario {shown(unknown[0])}; there are {listed(SCENARIOS)}" if unknown else True


def _detector(
    original: Backbone,
    clip_vision: Any,
    known: Sequence[str],
    how: AttackSettings,
    seed: int,
    count: Counter,
    placeholders: Placeholders | None,
) -> NamesByDrawing:
    """What says in which pictures the concept is, the first of the known names."""

    def features(pictures: Tensor) -> Tensor:
        return picture_features(clip_vision, pictures)

    return NamesByDrawing(original, features, known[0], known[1:], how, seed, count, placeholders)


def _attacked(task: AttackTask, names: Sequence[str], passes: int) -> Attack:
    """The outcome of the scenarios, after their cost was said."""
    say(said_before(task, names, passes))
    with at_work(task.original), at_work(task.erased):
        return attack(task, names)
