"""Graft Skill."""

from typing import Any

from ...core.attack.parts.settings import PRESETS
from ...core.settings import preset_name, with_entries
from ...core.surgery.localiser import wanted_by
from ...core.surgery.methods.dataless import SCOPES, DatalessSettings
from ...core.surgery.registry import METHODS
from ...host.adapters import backbone_of, weights_of, with_skill
from ...host.jobs.surgery.grafting import MAX_SHARES, graft, graft_page, graft_said, passes_of
from ...host.jobs.surgery.reports import base_fingerprint
from ...host.schema import io
from ...host.shared.progress import Counter
from ..sockets import (
    CATEGORY,
    Skill,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    model_inputs,
    page_under,
    preset_choice,
    preset_verdict,
    prompts_of,
    seed_input,
    settings_input,
    settings_verdict,
    text_input,
)


class GraftSkill(io.ComfyNode):
    """How small a share of a fine-tune still draws what it learnt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierGraftSkill",
            display_name="Graft Skill",
            category=f"{CATEGORY}/surgery",
            description=(
                "Puts increasing shares of a fine-tune into the model it was made from, draws the same "
                "prompts from the same noise with each, and compares the pictures with those of the whole "
                "fine-tune. SKILL is the smallest share that covers 95 percent of the way from the model "
                "to the fine-tune."
            ),
            search_aliases=["slim fine-tune", "skill localization", "grafting", "shrink checkpoint", "sparsity curve"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that the fine-tune was made from."),
                io.Model.Input(
                    "tuned_model", tooltip="The fine-tune: another checkpoint, or the MODEL of a LoRA loader."
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    tooltip="The picture encoder that compares, from Load CLIP Vision or Load Lab CLIP Vision.",
                ),
                text_input("prompts", "a photo of a cat", "Prompts that show what the fine-tune learnt, one per line."),
                io.String.Input(
                    "shares",
                    default="0.1, 1, 5, 20",
                    tooltip="Percentages of the parameters to try, separated by commas, counted in the "
                    f"weights that the fine-tune changed; at most {MAX_SHARES}.",
                ),
                io.Combo.Input(
                    "scope",
                    options=list(SCOPES),
                    default=SCOPES[0],
                    tooltip="How parameters compete, as in Localize Skill.",
                ),
                preset_choice(
                    list(PRESETS),
                    "How pictures are drawn. small: for the lab model. paper: pictures of 512 pixels.",
                ),
                seed_input("Random seed of the pictures."),
                io.Clip.Input(
                    "tuned_clip", optional=True, tooltip="The text encoder of the fine-tune, if it changed that too."
                ),
                settings_input(
                    "Settings as name=value, separated by commas; empty keeps the preset's: draws=8 pictures a "
                    "prompt, steps=20, guidance=4, side=768."
                ),
            ],
            outputs=[
                Skill.Output(display_name="SKILL", tooltip="The smallest share that is enough, else the greatest."),
                io.Model.Output(display_name="MODEL", tooltip="The model with that share."),
                io.Clip.Output(display_name="CLIP", tooltip="The text encoder with that share."),
                io.Image.Output(
                    display_name="PAGE",
                    tooltip="Pictures of the model, of each share and of the fine-tune; below each, its "
                    "similarity to the fine-tune's.",
                ),
                io.String.Output(display_name="REPORT", tooltip="The curve in words."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        tuned_model: Any,
        clip_vision: Any,
        prompts: str,
        shares: str,
        scope: Any,
        preset: str,
        seed: int,
        tuned_clip: Any = None,
        settings: str = "",
    ) -> io.NodeOutput:
        how = with_entries("Graft Skill", PRESETS[preset_name(preset)], lines_of(settings))
        parts, texts = shares_of(shares), prompts_of(prompts)
        backbone = backbone_of(model, clip, vae)
        of_text = clip if tuned_clip is not None else None
        base, tuned = weights_of(model, of_text), weights_of(tuned_model, tuned_clip)
        count = Counter(cls.hidden.unique_id, passes_of(texts, parts, how))

        def localise(share: float) -> Any:
            chosen = DatalessSettings(share, scope)
            family, mark = backbone.family, base_fingerprint(backbone)
            return METHODS["dataless"].localise(base, tuned, family, chosen, wanted_by([], []), mark)

        theirs = backbone_of(tuned_model, tuned_clip if tuned_clip is not None else clip, vae)
        found = graft((model, clip, vae), theirs, localise, parts, texts, clip_vision, how, seed, count)
        page, report = graft_page(found), graft_said(found)
        shown = page_under(cls, page, report)
        return io.NodeOutput(found.best, *with_skill(model, clip, found.best), page, report, ui=shown)

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        prompts: str | None = None,
        shares: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            settings_verdict("Graft Skill", PRESETS, preset, settings),
            list_verdict("prompts", prompts),
            embeddings_verdict(prompts=prompts),
            _shares_verdict(shares),
        )


def shares_of(text: str) -> list[float]:
    """Percentages as shares in 0..1, rising. Raises ``ValueError`` for anything else, none and too many."""
    try:
        found = sorted({float(entry) / 100 for entry in lines_of(text)})
    except ValueError as error:
        raise ValueError(f"shares: expected numbers separated by commas, such as 0.1, 1, 5; got {text}") from error
    if not found or len(found) > MAX_SHARES or found[0] < 0 or found[-1] > 1:
        raise ValueError(f"shares: expected 1 to {MAX_SHARES} percentages from 0 to 100, got {text}")
    return found


def _shares_verdict(shares: str | None) -> bool | str:
    try:
        shares_of("1" if shares is None else shares)
    except ValueError as error:
        return str(error)
    return True
