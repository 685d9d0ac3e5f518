"""The commands of the benches on the lab transformer: those of the lab UNet, by the names of its files, and its own."""

from collections.abc import Mapping

from ...core.erase.registry import METHODS as ERASING
from ...core.explain.registry import METHODS as EXPLAINING
from ..compose.compose import SIMILARITIES
from .composing import IN_BOXES
from .erasing import GUARDED
from .explaining import UNSIGNED

FOLDER, ADDED = "transformer", "--model transformer"

COMPOSED = (
    "area",
    "attention_couple",
    "lora_composer",
    "t2i_zero",
    "attend_and_excite",
    "localized_refinement",
    "concept_conductor",
)
"""Ways of composing that are measured there beside the plain prompt."""

ERASED = tuple(name for name in ERASING if name != "mace_lora")
"""Methods of erasing that apply there; the other needs keys and values of cross-attention."""

QUICK = ("uce", "rece", "speed", "mace", "realera", "hirm")
"""Methods of erasing without training that are attacked there, in the order in which their cases are numbered."""

TRAINED = ("few_shot", "realera_lora", "esd", "all_but_one", "doco")
"""Methods of erasing that train there, in the order in which their cases are numbered."""

BOTH = (
    "lab.json",
    "words.json",
    "words_short.json",
    "words_information.json",
    "words_both.json",
    "words_sweep.json",
    "localize.json",
    "localize_known_count.json",
    "localize_paper.json",
    "localize_attencraft.json",
    "learn/conceptexpress_test.json",
    "learn/cones_test.json",
    "learn/attencraft_test.json",
    "erase.json",
    *(f"erase/{name}.json" for name in ERASED if name != "uce"),
    *(f"erase/{name}_10.json" for name in ("uce", "speed", "realera")),
    *(f"erase/{name}_styles.json" for name in ("uce", "speed")),
    "erase/uce_colours.json",
    *(f"explain/{name}.json" for name in EXPLAINING if name not in UNSIGNED),
    *(f"explain/{name}.json" for name in ("importance", "sweep", "steer", "audit")),
    "compose.json",
    *(f"compose/{name}.json" for name in (*COMPOSED, SIMILARITIES)),
)
"""Files of the UNet that the transformer has, too: the same scenes, prompts, seeds and judge."""

UNGUARDED = f"attack --split test --cases 4 --methods uce --scenarios {GUARDED}"

OWN = {
    "words_concepts.json": "words --split test --cases 60 --maps concepts --deletion",
    "words_concepts_short.json": "words --split test --cases 60 --maps concepts --caption short",
    "words_concepts_sweep.json": "words --cases 24 --sweep --maps concepts",
    "localize_sweep.json": "localize --cases 12 --sweep",
    "localize_sweep_17.json": "localize --cases 12 --sweep --set saliency_threshold=1.7",
    "attack.json": f"attack --split test --cases {2 * len(QUICK)} --methods {','.join(QUICK)}",
    "attack_trained.json": f"attack --split test --cases {len(TRAINED)} --methods {','.join(TRAINED)}",
    "attack_guard_none.json": UNGUARDED,
    **{f"attack_guard_{guard}.json": f"{UNGUARDED} --guard {guard}" for guard in ("dve", "irece", "guidance")},
    "attack_guard_dve_alone.json": f"attack --split test --cases 4 --methods none --scenarios {GUARDED} --guard dve",
    **{
        f"compose/{name}_squares.json": f"compose --split test --cases 96 --boxes squares --method {name}"
        for name in IN_BOXES
        if name in COMPOSED
    },
    "compose/plain_learnt.json": "compose --split test --cases 18 --learnt",
    **{f"compose/{name}_learnt.json": f"compose --split test --cases 18 --learnt --method {name}" for name in COMPOSED},
}


def on_the_transformer(commands: Mapping[str, str]) -> dict[str, str]:
    """File in ``transformer/`` to its command, from those of the UNet."""
    both = {name: commands[name] for name in BOTH}
    return {f"{FOLDER}/{name}": f"{command} {ADDED}" for name, command in (both | OWN).items()}
