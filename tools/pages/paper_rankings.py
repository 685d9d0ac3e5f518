"""What papers on composing say of their methods, beside what ``bench compose`` found: a part of ``docs/compose.md``.

Two ways are compared over the cases that both have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...bench.all.queue import FOLDER, queue
from ...bench.summary import with_interval
from .cards import table
from .compose_results import Result, same_cases
from .files import read


@dataclass(frozen=True)
class Claim:
    """What a paper says of two ways.

    Attributes:
        paper: its method and number on arXiv.
        says: what it found, with its figures where they are known.
        figure: of ``bench compose`` that is nearest to it, and what people call it.
        files: of the worse way and of the better one, as the paper has it.
        less: whether less is better.
    """

    paper: str
    says: str
    figure: tuple[str, str]
    files: tuple[str, str]
    less: bool = False


LIKENESS = "likeness of learnt subjects 0.78, of fused weights (Mix-of-Show) 0.65"
APART = "attributes stay with their own subject where regions are kept apart"

CLAIMS = (
    Claim(
        "Attend-and-Excite (2301.13826)",
        "text found again in captions of the pictures: 0.81 to 0.83, Stable Diffusion alone 0.76 to 0.78",
        ("found", "objects found, against the prompt alone"),
        ("compose.json", "compose/attend_and_excite.json"),
    ),
    Claim(
        "T2I-Zero (2310.07419)",
        "fewer concepts are neglected or mixed; no figures are published",
        ("found", "objects found, against the prompt alone"),
        ("compose.json", "compose/t2i_zero.json"),
    ),
    Claim(
        "LoRA-Composer (2403.11627)",
        LIKENESS,
        ("identity", "likeness to the source with LoRAs, `paper`, against the prompt alone under both LoRAs"),
        ("compose/plain_loras.json", "compose/lora_composer_paper_loras.json"),
    ),
    Claim(
        "LoRA-Composer (2403.11627), `small`: without its guidance",
        LIKENESS,
        ("found", "learnt tokens found, without LoRAs, against the prompt alone"),
        ("compose/plain_learnt.json", "compose/lora_composer_learnt.json"),
    ),
    Claim(
        "LoRA-Composer (2403.11627)",
        APART,
        ("leak", "cells in others' boxes, `paper`, against attention couple"),
        ("compose/attention_couple.json", "compose/lora_composer_paper.json"),
        less=True,
    ),
    Claim(
        "LoRA-Composer (2403.11627), `small`: without its guidance",
        APART,
        ("leak", "cells in others' boxes, against attention couple"),
        ("compose/attention_couple.json", "compose/lora_composer.json"),
        less=True,
    ),
    Claim(
        "Concept Conductor (2408.03632)",
        "look-alikes stay apart, where fused weights and boxes mix them; its figures were not known to us",
        ("exact_2", "two of a kind, exactly those, against attention couple"),
        ("compose/attention_couple_alike.json", "compose/concept_conductor_alike.json"),
    ),
    Claim(
        "FaR (2504.03292)",
        "without localized refinement attributes leak; its figures were not known to us",
        ("leak", "cells in others' boxes, against the prompt alone"),
        ("compose.json", "compose/localized_refinement.json"),
        less=True,
    ),
)
"""In the order in which the papers appeared."""


def rankings(folder: Path = FOLDER) -> str:
    """The table; a claim whose files are not all there is said not to be measured yet."""
    rows = [["paper", "what it says", "nearest figure here", "the other way", "its own way", "order"]]
    for claim in CLAIMS:
        found = [
            _figure(one, claim.figure[0]) for one in _over_the_same(*(read(folder / name) for name in claim.files))
        ]
        cells = [with_interval(value) if value else "not measured yet" for value in found]
        lacking = [f"`bench {queue()[name]}`" for name, value in zip(claim.files, found, strict=True) if not value]
        worse, better = found
        order = _order(worse, better, claim.less) if worse and better else f"needs {' and '.join(lacking)}"
        rows.append([claim.paper, claim.says, claim.figure[1], *cells, order])
    return table(rows)


def _over_the_same(worse: Result | None, better: Result | None) -> tuple[Result | None, Result | None]:
    """Two ways over the cases that both have."""
    if worse is None or better is None:
        return worse, better
    return same_cases(worse, better) or worse, same_cases(better, worse) or better


def _figure(found: Mapping[str, Any] | None, name: str) -> Mapping[str, float] | None:
    return None if found is None else found["summary"].get(name)


def _order(worse: Mapping[str, float], better: Mapping[str, float], less: bool) -> str:
    """Whether two intervals say the paper's order, the other one, or nothing."""
    first, second = (better, worse) if less else (worse, better)
    if first["high"] < second["low"]:
        return "the paper's"
    return "the other way round" if second["high"] < first["low"] else "too close to rank"
