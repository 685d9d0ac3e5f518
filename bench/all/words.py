"""The commands of ``bench words``, ``bench damp`` and ``bench prompts``."""

PROMPTS = {
    "prompts.json": "prompts --split test --cases 48",
    "prompts_style.json": "prompts --split test --cases 48 --of style",
}

WORDS = {
    "words.json": "words --split test --cases 60 --deletion --controls 8",
    "words_short.json": "words --split test --cases 60 --caption short --deletion",
    "words_information.json": "words --split test --cases 24 --maps information --deletion",
    "words_information_short.json": "words --split test --cases 24 --maps information --caption short --deletion",
    "words_alone.json": "words --split test --cases 24 --maps alone --deletion",
    "words_redundancy.json": "words --split test --cases 60 --redundancy",
    "words_both.json": "words --split test --cases 24 --maps both --deletion",
    "words_both_short.json": "words --split test --cases 24 --maps both --caption short --deletion",
    "words_damp.json": "damp --split test --cases 60 --controls 8",
    "words_damp_short.json": "damp --split test --cases 24 --caption short",
    "words_sweep.json": "words --cases 24 --sweep",
}
