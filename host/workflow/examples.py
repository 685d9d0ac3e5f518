"""The example workflows that ship with the pack."""

from pathlib import Path

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TITLES = {
    "see_where_words_land": "See where words land",
    "take_a_picture_apart": "Take a picture apart",
    "learn_from_two_pictures": "Learn from two pictures",
    "erase_a_concept": "Erase a concept",
    "erase_a_style": "Erase a style",
    "train_an_erasure": "Train an erasure",
    "compose_learnt_things": "Compose learnt things",
    "two_loras_in_one_picture": "Two LoRAs in one picture",
    "edit_by_words": "Edit by words",
    "which_word_did_what": "Which word did what",
    "score_concepts": "Score concepts",
    "what_is_this_folder_made_of": "What is this folder made of",
    "masks_of_an_ingredient": "Masks of an ingredient in a new picture",
    "take_an_ingredient_out": "Take an ingredient out",
    "what_did_my_lora_change": "What did my LoRA change",
    "find_my_subject": "Find my subject in a folder and crop it",
    "pick_the_best": "Pick the best of a batch and say why",
    "what_do_i_like": "What do I like",
    "complete_and_lint": "Complete and lint the captions of a training folder",
    "guard_against_a_concept": "Guard against a concept",
    "purify_a_picture": "Purify a picture",
    "weight_phrases": "Weight phrases",
    "attack_an_erasure": "Attack an erasure and report",
    "merge_two_loras": "Will these two LoRAs fight",
    "slim_a_fine_tune": "Slim a fine-tune",
    "from_folder_to_checked_lora": "From folder to checked LoRA",
}
"""What the template browser calls a workflow: it shows the name of its file."""
