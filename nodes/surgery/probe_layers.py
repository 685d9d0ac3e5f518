"""Probe Layers."""

from typing import Any

import torch

from ...core.settings import preset_name, with_entries
from ...core.surgery.probing.reading import PRESETS, passes_of, probe_denoiser, probe_text
from ...host.adapters import backbone_of
from ...host.jobs.surgery.probing import probe_page, probe_said
from ...host.schema import io
from ...host.shared.progress import Counter
from ..sockets import (
    CATEGORY,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    page_under,
    preset_choice,
    preset_verdict,
    prompts_of,
    seed_input,
    settings_input,
    settings_verdict,
)

WHERE = ("text encoder", "denoiser", "both")


class ProbeLayers(io.ComfyNode):
    """At which layer, block and noise level a model knows a concept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierProbeLayers",
            display_name="Probe Layers",
            category=f"{CATEGORY}/surgery",
            description=(
                "Says at which layer of the text encoder, and at which block and noise level of the "
                "denoiser, a concept can be recognised, from prompts with it and without. A linear probe "
                "at each of these places is tested on held-out prompts and compared with shuffled labels "
                "and a bag of tokens. It also says whether clip skip helps."
            ),
            search_aliases=["Concept Depth", "linear probe", "clip skip", "layer analysis", "probing classifier"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder to probe."),
                io.String.Input("concept", default="an animal", tooltip="What the concept is called in the report."),
                io.String.Input(
                    "with_concept",
                    default="\n".join(
                        f"a photo of a {word}" for word in ("cat", "dog", "lion", "rabbit", "fox", "bird")
                    ),
                    multiline=True,
                    tooltip="Prompts with the concept, one per line, at least four. Name it in different "
                    "words: a single word is recognised just as well by a bag of tokens.",
                ),
                io.String.Input(
                    "without_concept",
                    default="\n".join(
                        f"a photo of a {word}" for word in ("house", "car", "guitar", "chair", "rocket", "clock")
                    ),
                    multiline=True,
                    tooltip="Prompts without it, one per line, at least four, that are like the others in all else.",
                ),
                io.Combo.Input(
                    "where",
                    options=list(WHERE),
                    default=WHERE[0],
                    tooltip="text encoder: every layer of CLIP. denoiser: begins a picture of every prompt and probes "
                    "every block at every noise level; connect a model.",
                ),
                preset_choice(
                    list(PRESETS),
                    "How pictures are begun for the denoiser. small: for the lab model. paper: pictures of 512 pixels.",
                ),
                seed_input("Random seed of shuffled labels and of pictures."),
                io.Model.Input("model", optional=True, tooltip="The model, to probe its denoiser."),
                settings_input(
                    "Settings as name=value, separated by commas; empty keeps the preset's: pool=mean reads "
                    "the mean of a prompt's words in place of its end, steps=16 noise levels, shuffles=500."
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="PAGE", tooltip="Curves over layers, and a map of blocks and noise levels."
                ),
                io.String.Output(display_name="REPORT", tooltip="The same in words, with a table."),
            ],
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        concept: str,
        with_concept: str,
        without_concept: str,
        where: str,
        preset: str,
        seed: int,
        model: Any = None,
        settings: str = "",
    ) -> io.NodeOutput:
        how = with_entries("Probe Layers", PRESETS[preset_name(preset)], lines_of(settings))
        if where != WHERE[0] and model is None:
            raise ValueError(f"where is {where}, which reads the denoiser; connect a MODEL, or choose {WHERE[0]}")
        own, others, name = prompts_of(with_concept), prompts_of(without_concept), concept.strip()
        prompts, present = [*own, *others], torch.tensor([True] * len(own) + [False] * len(others))
        backbone = backbone_of(model, clip)
        count = Counter(cls.hidden.unique_id, passes_of(len(prompts), where != WHERE[0], how))
        text = probe_text(backbone, prompts, present, how, seed, count) if where != WHERE[1] else None
        denoiser = probe_denoiser(backbone, prompts, present, how, seed, count) if where != WHERE[0] else None
        page, report = probe_page(name, text, denoiser), probe_said(name, text, denoiser)
        return io.NodeOutput(page, report, ui=page_under(cls, page, report))

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concept: str | None = None,
        with_concept: str | None = None,
        without_concept: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            settings_verdict("Probe Layers", PRESETS, preset, settings),
            list_verdict("concept", concept),
            list_verdict("with_concept", with_concept),
            list_verdict("without_concept", without_concept),
            embeddings_verdict(with_concept=with_concept, without_concept=without_concept),
        )
