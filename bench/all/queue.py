"""Every bench command whose figures stand in the docs, the quick ones first; each family has a file of its own."""

from pathlib import Path

from .composing import composed
from .data import DATA
from .erasing import attacked, erased
from .explaining import explained
from .learning import learnt
from .localizing import FIRST, LOCALIZED, MATCHED, with_seeds
from .recognising import RECOGNISED
from .surgery import SURGERY
from .transformers import on_the_transformer
from .words import PROMPTS, WORDS

FOLDER = Path(__file__).parents[2] / "results"


def queue() -> dict[str, str]:
    """File of figures, under the folder, to the bench command that makes it."""
    commands = {
        "lab.json": "lab --split test --cases 192 --controls 8",
        **FIRST,
        "score.json": "score --controls 4",
        **DATA,
        **SURGERY,
        **PROMPTS,
        **explained(),
        **RECOGNISED,
        **WORDS,
        **MATCHED,
        **LOCALIZED,
        **erased(),
        **attacked(),
        **composed(),
        **with_seeds(),
        **learnt(),
    }
    commands |= on_the_transformer(commands)
    return {name: " ".join(command.split()) for name, command in commands.items()}
