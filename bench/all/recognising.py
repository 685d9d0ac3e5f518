"""The commands of ``bench recognise``, ``bench segment`` and ``bench decompose``."""

SUBJECTS = "recognise --split test --cases 12"
RECOGNISED = {
    "recognise/own_5.json": f"{SUBJECTS} --controls 4",
    "recognise/own_1.json": f"{SUBJECTS} --examples 1",
    "recognise/own_20.json": f"{SUBJECTS} --examples 20",
    "recognise/own_5_prototypes.json": f"{SUBJECTS} --method prototypes",
    "recognise/any_5.json": f"{SUBJECTS} --look any",
    "recognise/hand_5.json": f"{SUBJECTS} --look hand",
    "recognise/segment.json": "segment --split test --cases 8 --controls 4",
    "recognise/heads.json": "recognise --what heads --split test --cases 4 --controls 2",
    "recognise/words.json": "recognise --what words --split test --cases 6 --controls 2",
    "recognise/captions.json": "recognise --what captions --split test --cases 8 --controls 4",
    "recognise/captions_whole.json": "recognise --what captions --split test --cases 8 --whole",
    "recognise/corrections.json": "recognise --what corrections --split test --cases 6 --controls 2",
    "recognise/dependencies.json": "recognise --what dependencies --split test --cases 12 --controls 4",
    "recognise/decompose.json": "decompose --split test --cases 6 --controls 3",
    "recognise/decompose_3.json": "decompose --split test --cases 6 --strength 3",
}
"""Subjects from one, five and twenty pictures, in their own look, in any style and by another hand; words and their
places; concept heads; classes by words alone; captions with withheld words, by windows and by whole pictures."""
