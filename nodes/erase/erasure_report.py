"""Erasure Report."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from ...core import types
from ...core.attack.comparison import ERASED, GROUPS, NEIGHBOURS, OTHERS, SYNONYMS, check, compare, comparing
from ...core.attack.parts.settings import PRESETS
from ...core.attack.run import Attack
from ...core.settings import preset_name, with_entries
from ...core.surgery.traces.audit import InsideAudit
from ...host.adapters import backbone_of
from ...host.files import folders
from ...host.jobs.erase.attack_reports import Report, report_csv, report_json, report_page, report_text
from ...host.jobs.erase.attack_scenarios import guard_of
from ...host.jobs.evaluate.score_reports import save_reports
from ...host.jobs.prompts import check_marks
from ...host.jobs.vision import picture_features
from ...host.schema import io
from ...host.shared.memory import peak_memory
from ...host.shared.progress import Counter
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    Erasure,
    ErasureAttack,
    ErasureAudit,
    embeddings_verdict,
    erasure_inputs,
    first_fault,
    lines_of,
    list_verdict,
    page_under,
    preset_choice,
    preset_verdict,
    seed_input,
    settings_input,
    settings_verdict,
    text_input,
)


class ErasureReport(io.ComfyNode):
    """What is gone, what stayed and what came back, on one page."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierErasureReport",
            display_name="Erasure Report",
            category=f"{CATEGORY}/erase",
            description=(
                "Draws words with the original and with the erased model from the same noise and puts on one page what "
                "is gone, what stayed, and what Attack Erasure brought back. The same figures are written as CSV and "
                "JSON."
            ),
            search_aliases=["evaluate erasure", "before after", "unlearn report", "concept erasure", "preservation"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *erasure_inputs("The picture encoder that says which word a picture is most like"),
                text_input("concepts", "cat", "The concepts that were erased, one per line or separated by commas."),
                text_input("synonyms", "", "Other names of these concepts, which should be gone too."),
                text_input(
                    "neighbours",
                    "dog, lion",
                    "What is most like the concepts and should stay. Suggest Related Words finds such words.",
                ),
                io.String.Input(
                    "others", default="house, car", multiline=True, tooltip="Other things that should stay."
                ),
                preset_choice(
                    list(PRESETS),
                    "How pictures are drawn. small: for the lab model. paper: pictures of 512 pixels.",
                ),
                seed_input("Random seed of the pictures."),
                io.String.Input(
                    "filename_prefix",
                    default="reports/erasure",
                    tooltip="Name of a CSV and a JSON file in the output folder; a / makes a folder. Empty writes "
                    "none.",
                ),
                settings_input(
                    "Settings as name=value, separated by commas; empty keeps the preset's: draws=8 pictures a "
                    "word (at least 2), steps=20, guidance=4, side=768."
                ),
                ErasureAttack.Input("attack", optional=True, tooltip="From Attack Erasure, for the page."),
                io.Clip.Input(
                    "erased_clip",
                    optional=True,
                    tooltip="The CLIP of the erasure, for methods that change the text encoder (HiRM, few-shot).",
                ),
                ErasureAudit.Input("inside", optional=True, tooltip="From Audit Erasure Inside, for the page."),
                ConceptTokens.Input(
                    "tokens", optional=True, tooltip="Learnt tokens that the lists may name, such as <apple>."
                ),
                Erasure.Input(
                    "erasure",
                    optional=True,
                    tooltip="The erasure itself, so that the page says its method and how long it took.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="PAGE",
                    tooltip="A table, then for each word pictures before and after from the same noise, then those of "
                    "the attacks.",
                ),
                io.String.Output(display_name="CSV", tooltip="A line for each figure."),
                io.String.Output(display_name="JSON", tooltip="All figures, the settings and the re-learning curve."),
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
        concepts: str,
        synonyms: str,
        neighbours: str,
        others: str,
        preset: str,
        seed: int,
        filename_prefix: str,
        settings: str = "",
        attack: Attack | None = None,
        erased_clip: Any = None,
        inside: InsideAudit | None = None,
        tokens: types.ConceptTokens | None = None,
        erasure: types.Erasure | None = None,
    ) -> io.NodeOutput:
        check_marks(" ".join((concepts, synonyms, neighbours, others)), tokens)
        if filename_prefix:
            folders.safe_name(filename_prefix, "filename_prefix")  # a linked one was not checked before the run
        how = with_entries("Erasure Report", PRESETS[preset_name(preset)], lines_of(settings))
        words = _words(concepts, synonyms, neighbours, others)
        original, erased = backbone_of(model, clip, vae), backbone_of(erased_model, erased_clip or clip, vae)
        count = Counter(cls.hidden.unique_id, comparing(words, how))

        def features(seen: Tensor) -> Tensor:
            return picture_features(clip_vision, seen)

        guard, placeholders = guard_of(erased_model), tokens.placeholders() if tokens else None
        made = compare(original, erased, words, features, how, seed, count, guard, placeholders)
        report = Report(made, attack, peak_memory(), inside, erasure)
        texts = {"csv": report_csv(report), "json": report_json(report, asdict(how) | {"seed": seed})}
        if filename_prefix:
            save_reports(folders.current().output, filename_prefix, texts)
        page = report_page(report)
        shown = page_under(cls, page, report_text(report))
        return io.NodeOutput(page, *texts.values(), ui=shown)

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concepts: str | None = None,
        synonyms: str | None = None,
        neighbours: str | None = None,
        others: str | None = None,
        filename_prefix: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        given = {"concepts": concepts, "synonyms": synonyms, "neighbours": neighbours, "others": others}
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            settings_verdict("Erasure Report", PRESETS, preset, settings),
            list_verdict("concepts", concepts),
            embeddings_verdict(**given),
            _comparable(list(given.values())),
            folders.name_verdict(filename_prefix or None, "filename_prefix"),
        )


def _words(*lists: str) -> dict[str, list[str]]:
    return dict(zip((ERASED, SYNONYMS, NEIGHBOURS, OTHERS), map(lines_of, lists), strict=True))


def _comparable(lists: Sequence[str | None]) -> bool | str:
    """What is wrong with the lists, where all of them are known before the run."""
    if any(one is None for one in lists):
        return True
    words = _words(*(one or "" for one in lists))
    try:
        check([(group, word) for group in GROUPS for word in words[group]], PRESETS["small"])
    except ValueError as error:
        return str(error)
    return True
