"""Write ``workflows/*.json`` and their input pictures (developers; run after a node's inputs change).

    python -m concept_atelier.tools.build_workflows

Workflows are laid out from left to right in the format that ComfyUI's front end saves, from the nodes' own schemas.
Each comes twice: on the lab model, and as a twin for a checkpoint of the user's own. Some come for a transformer too.
"""

import json
from collections.abc import Callable

from ..host.workflow.examples import TITLES
from ..host.workflow.examples import WORKFLOWS as FOLDER
from .workflow.examples.composing import compose_learnt_things, two_loras_in_one_picture
from .workflow.examples.erasing import (
    attack_an_erasure,
    erase_a_concept,
    erase_a_style,
    guard_against_a_concept,
    purify_a_picture,
    train_an_erasure,
)
from .workflow.examples.explaining import (
    masks_of_an_ingredient,
    take_an_ingredient_out,
    what_did_my_lora_change,
    what_is_this_folder_made_of,
)
from .workflow.examples.learning import learn_from_two_pictures, score_concepts, take_a_picture_apart
from .workflow.examples.recognising import complete_and_lint, find_my_subject, pick_the_best, what_do_i_like
from .workflow.examples.surgery import merge_two_loras, slim_a_fine_tune
from .workflow.examples.training import from_folder_to_checked_lora
from .workflow.examples.words import edit_by_words, see_where_words_land, weight_phrases, which_word_did_what
from .workflow.foreign import drawing_registry
from .workflow.input_pictures import write_pictures
from .workflow.sheet import Sheet
from .workflow.studio import Studio
from .workflow.variant import Variant
from .workflow.variants import VARIANTS

Builder = Callable[[Studio], None]
BUILDERS: dict[str, Builder] = {
    f.__name__: f
    for f in (
        see_where_words_land,
        take_a_picture_apart,
        learn_from_two_pictures,
        erase_a_concept,
        erase_a_style,
        train_an_erasure,
        compose_learnt_things,
        two_loras_in_one_picture,
        edit_by_words,
        which_word_did_what,
        score_concepts,
        what_is_this_folder_made_of,
        masks_of_an_ingredient,
        take_an_ingredient_out,
        what_did_my_lora_change,
        find_my_subject,
        pick_the_best,
        what_do_i_like,
        complete_and_lint,
        guard_against_a_concept,
        purify_a_picture,
        weight_phrases,
        attack_an_erasure,
        merge_two_loras,
        slim_a_fine_tune,
        from_folder_to_checked_lora,
    )
}
WORKFLOWS: dict[str, tuple[Builder, Variant]] = {
    TITLES[name] + variant.suffix: (build, variant)
    for variant in VARIANTS
    for name, build in BUILDERS.items()
    if variant.draws(name)
}


def workflow(name: str) -> str:
    """A workflow file's text, by its title."""
    build, variant = WORKFLOWS[name]
    studio = Studio(Sheet(drawing_registry()), variant, build.__name__)
    build(studio)
    return json.dumps(studio.sheet.body(name), indent=1) + "\n"


def main() -> None:
    write_pictures()
    for name in WORKFLOWS:
        (FOLDER / f"{name}.json").write_text(workflow(name), encoding="utf-8")


if __name__ == "__main__":
    main()
