"""The seeds of benches that are run more than once."""

SEEDS = ("", "--seed 1", "--seed 2")
"""As arguments; a bench takes seed 0 unasked."""


def in_name(seed: str) -> str:
    """Arguments of a seed as a part of a file's name: ``seed1``, and nothing for seed 0."""
    return seed.removeprefix("--").replace(" ", "")
