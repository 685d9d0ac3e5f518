"""The commands of ``bench compose``."""

from ...core.compose.registry import METHODS as COMPOSING
from ..compose.compose import SIMILARITIES
from .seeds import SEEDS, in_name

PLAIN, AREA = "plain", "area"
METHODS = {name: record for name, record in COMPOSING.items() if record.areas is None}
"""The methods that act in the model; both baselines do not."""

WAYS = {PLAIN: "", AREA: "--method area", **{name: f"--method {name}" for name in METHODS}}
"""Way of composing to its arguments: the plain prompt, stock areas, and every method."""

AS_PUBLISHED = {"lora_composer": 24, "concept_conductor": 12}
"""Methods whose preset ``small`` leaves out what the paper has, to the number of cases with ``paper``."""

WITH_LORAS = (PLAIN, "attention_couple", "concept_conductor")
"""Ways of composing that are measured with a LoRA for each object; the plain prompt is drawn with both in force for the
whole picture."""

WORLD = "world"
IN_BOXES = (AREA, *(name for name, record in METHODS.items() if "regions" in record.needs), WORLD)
"""Ways that put objects into boxes, and icons of the lab's world there."""

BEST_IN_SQUARES = (AREA, "localized_refinement")
"""Those of them that are measured with further seeds in squares."""

PAPER_WITH_LORAS = "lora_composer_paper"
"""In the names of files: LoRA-Composer as published, with LoRAs."""


def composed() -> dict[str, str]:
    """Every way of composing in regions that are given and that are found; as published; two of a kind, learnt tokens,
    LoRAs, styles and seeds."""
    return {
        "compose.json": "compose --split test --cases 96 --controls 6",
        **{f"compose/{name}.json": f"compose --split test --cases 96 --method {name}" for name in METHODS},
        **{
            f"compose/{name}_found.json": f"compose --split test --cases 48 --method {name} --regions found"
            for name, record in METHODS.items()
            if "regions" in record.needs
        },
        "compose/area.json": "compose --split test --cases 96 --method area",
        f"compose/{SIMILARITIES}.json": f"compose --split test --cases 96 --method {SIMILARITIES}",
        "compose/world.json": "compose --split test --cases 96 --method world",
        **{
            f"compose/{name}_paper.json": f"compose --split test --cases {cases} --method {name} --preset paper"
            for name, cases in AS_PUBLISHED.items()
        },
        **_squares(),
        **_further(),
        **{f"compose/{name}_loras.json": f"compose --split test --cases 8 --loras {WAYS[name]}" for name in WITH_LORAS},
        f"compose/{PAPER_WITH_LORAS}_loras.json": "compose --split test --cases 8 --loras --method lora_composer "
        "--preset paper",
    }


def _squares() -> dict[str, str]:
    """Ways that take boxes, with squares; learnt tokens in them, too."""
    found: dict[str, str] = {}
    for name in IN_BOXES:
        command = f"compose --split test --cases 96 --boxes squares --method {name}"
        found[f"compose/{name}_squares.json"] = command
        if name != WORLD:
            found[f"compose/{name}_learnt_squares.json"] = f"{command} --learnt"
    for name in BEST_IN_SQUARES:
        for seed in SEEDS[1:]:
            command = f"compose --split test --cases 24 --boxes squares --method {name} {seed}"
            found[f"compose/{name}_squares_{in_name(seed)}.json"] = command
    return found


def _further() -> dict[str, str]:
    """Of every way of composing: two of a kind, learnt tokens, styles, and further seeds."""
    found: dict[str, str] = {}
    for name, way in WAYS.items():
        found[f"compose/{name}_alike.json"] = f"compose --split test --cases 24 --alike {way}"
        found[f"compose/{name}_learnt.json"] = f"compose --split test --cases 96 --learnt {way}"
        found[f"compose/{name}_styled.json"] = f"compose --split test --cases 24 --styled {way}"
        for seed in SEEDS[1:]:
            found[f"compose/{name}_{in_name(seed)}.json"] = f"compose --split test --cases 24 {way} {seed}"
    return found
