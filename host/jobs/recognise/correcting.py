"""Corrections of captions as people write them, and what follows from them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.messages import plain, shown, there_are
from ....core.recognise.captions.evidence import left_out
from ....core.recognise.captions.words import mentions, pattern_of
from ....core.recognise.energy.pairwise import FREE, Energy, dependencies, fit_energy, infer

SAID, UNSAID = 2.0, -0.5
"""Log odds of a concept that a caption names, and of one that it does not, where they may follow a correction: what is
not named may only have been left out."""
MOVED = 0.05
"""Change of a probability that counts as following a correction."""
LINE = re.compile(r"^(?:picture\s+)?(\d+)\s*:\s*(.+)$", re.IGNORECASE)
FORM = "3: +crown, -cat"
MOST = 12
ADDED = 3
"""Most concepts that one caption is completed by."""


@dataclass(frozen=True)
class Correction:
    """What a person says of one picture.

    Attributes:
        picture: its number, from 0.
        present, absent: numbers of concepts.
    """

    picture: int
    present: tuple[int, ...]
    absent: tuple[int, ...]


@dataclass(frozen=True)
class Folder:
    """The captions of a folder.

    Attributes:
        texts: N captions.
        called: the names of the pictures.
        concepts: K concepts that may be in them.
        kinds: concepts of which each caption names exactly one; none for no such.
    """

    texts: Sequence[str]
    called: Sequence[str]
    concepts: Sequence[str]
    kinds: Sequence[str]


@dataclass(frozen=True, eq=False)
class Corrected:
    """What corrections and what goes together make of a folder.

    Attributes:
        texts: N captions.
        probabilities: (N, K) of each concept in each picture.
        report: what changed and which concepts depend on each other, for people.
    """

    texts: list[str]
    probabilities: Tensor
    report: str


def correct(folder: Folder, corrections: str, features: Tensor | None, threshold: float | None) -> Corrected:
    """Correct the captions of a folder.

    Args:
        folder: its captions.
        corrections: as people write them, see :func:`read_corrections`.
        features: (N, D) of the pictures; None where there are none.
        threshold: probability from which on captions are completed; None completes none.

    Raises as :func:`read_corrections` does.
    """
    tags = mentions(folder.texts, folder.concepts)
    evidence = None if features is None else 4 * left_out(features, tags) - 2
    group = [folder.concepts.index(kind) for kind in folder.kinds]
    energy = fit_energy(tags, evidence, group)
    wanted = read_corrections(corrections, folder.concepts, len(folder.texts))
    values, after, lines = energy.fields(tags.float(), evidence).sigmoid(), tags.clone(), []
    if wanted:
        before, found = propagate(energy, tags, wanted, evidence)
        for row, one in enumerate(wanted):
            values[one.picture] = found[row]
            after[one.picture] = followed(tags[one.picture], before[row], found[row], one)
            lines.append(correction_line(folder.called[one.picture], one, before[row], found[row], folder.concepts))
    if threshold is not None:
        done = {one.picture for one in wanted}
        for number, added in enumerate(completions(energy, tags, evidence, threshold, ADDED)):
            if added and number not in done:
                after[number, added] = True
                lines.append(f"{folder.called[number]}: + {', '.join(folder.concepts[k] for k in added)}")
    texts = [
        text if tags[n].equal(after[n]) else caption_of(text, tags[n], after[n], folder.concepts)
        for n, text in enumerate(folder.texts)
    ]
    lines += left_lines(folder, tags & ~after, texts)
    # What pictures show leaves less for the couplings to say, so that relations are those of the captions alone.
    related = energy if evidence is None else fit_energy(tags, None, group)
    lines += dependency_lines(dependencies(related), folder.concepts)
    return Corrected(texts, values.clone(), "\n".join(lines))


def read_corrections(text: str, concepts: Sequence[str], count: int) -> list[Correction]:
    """Corrections, one for each picture; what several lines say of one picture counts together.

    Raises ``ValueError`` for other forms, unknown concepts and pictures, and a concept that one picture shall have and
    not have.
    """
    found: dict[int, dict[str, list[str]]] = {}
    for line in (line.strip() for line in text.splitlines() if line.strip()):
        read = LINE.match(line)
        words = [word.strip() for word in read[2].split(",") if word.strip()] if read else []
        if read is None or any(word[0] not in "+-" for word in words):
            raise ValueError(
                f"a correction is written as {FORM}: the picture's number and concepts with + or -; got {shown(line)}"
            )
        number = int(read[1])
        if not 1 <= number <= count:
            raise ValueError(f"{there_are((count, 'caption'))}, counted from 1; got a correction of picture {number}")
        said = found.setdefault(number, {"+": [], "-": []})
        for sign, word in ((word[0], word[1:].strip()) for word in words):
            if word not in concepts:
                raise ValueError(f"the vocabulary has no {shown(word)}, which picture {number} is corrected by")
            said[sign].append(word)
    return [_correction(number, said, concepts) for number, said in found.items()]


def _correction(number: int, said: Mapping[str, Sequence[str]], concepts: Sequence[str]) -> Correction:
    """What was said of the picture with a number from 1."""
    both = [word for word in said["+"] if word in said["-"]]
    if both:
        raise ValueError(f"picture {number} is corrected to have {shown(both[0])} and not to have it; leave one out")
    present, absent = (tuple(dict.fromkeys(map(concepts.index, said[sign]))) for sign in "+-")
    return Correction(number - 1, present, absent)


def propagate(
    energy: Energy, tags: Tensor, corrections: Sequence[Correction], evidence: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Probabilities (C, K) of the corrected pictures before and after their corrections.

    What a caption says of the other concepts counts as evidence, :data:`SAID` and :data:`UNSAID`, beside the picture's.
    """
    chosen = [one.picture for one in corrections]
    said = torch.where(tags[chosen], SAID, UNSAID)
    own = Energy(energy.bias, torch.ones_like(energy.bias), energy.coupling, energy.classes)
    seen = said if evidence is None else said + energy.scale * evidence[chosen]
    free = torch.full_like(said, FREE)
    fixed = free.clone()
    for row, one in enumerate(corrections):
        fixed[row, list(one.present)], fixed[row, list(one.absent)] = 1.0, 0.0
    return infer(own, free, seen), infer(own, fixed, seen)


def followed(tags: Tensor, before: Tensor, after: Tensor, one: Correction) -> Tensor:
    """(K,) bool what a caption with tags (K,) says behind a correction that moved probabilities (K,)."""
    moved = (after - before).abs() >= MOVED
    moved[[*one.present, *one.absent]] = True
    return torch.where(moved, after > 0.5, tags)


def completions(energy: Energy, tags: Tensor, evidence: Tensor | None, threshold: float, most: int) -> list[list[int]]:
    """For each picture (P, K) the concepts that its caption lacks and that all else makes probable, the surest
    first."""
    chances = energy.fields(tags.float(), evidence).sigmoid().masked_fill(tags, 0.0)
    if energy.classes:
        chances[:, list(energy.classes)] = 0
    rows = [row.argsort(descending=True, stable=True).tolist() for row in chances]
    return [[k for k in row[:most] if float(chances[n, k]) >= threshold] for n, row in enumerate(rows)]


def caption_of(caption: str, before: Tensor, after: Tensor, concepts: Sequence[str]) -> str:
    """A caption of tags with what appeared behind it and without what went; (K,) bool before and after."""
    gone = [pattern_of(concepts[k]) for k in (before & ~after).nonzero()[:, 0].tolist()]
    parts = [part.strip() for part in caption.split(",") if part.strip()]
    kept = [part for part in parts if not any(one.fullmatch(part.lower()) for one in gone)]
    return ", ".join([*kept, *(concepts[k] for k in (after & ~before).nonzero()[:, 0].tolist())])


def left_lines(folder: Folder, gone: Tensor, texts: Sequence[str]) -> list[str]:
    """A line for each picture whose caption still has concepts inside a sentence that shall be gone, (N, K) bool."""
    still = gone & mentions(texts, folder.concepts)
    named = {n: [plain(folder.concepts[k]) for k in row.nonzero()[:, 0].tolist()] for n, row in enumerate(still)}
    end = "stands inside a sentence; take it out by hand"
    return [f"{folder.called[n]}: {', '.join(words)} {end}" for n, words in named.items() if words]


def correction_line(name: str, one: Correction, before: Tensor, after: Tensor, concepts: Sequence[str]) -> str:
    """What a person changed and what followed, by probabilities (K,) before and after."""
    corrected = [f"+{plain(concepts[k])}" for k in one.present] + [f"-{plain(concepts[k])}" for k in one.absent]
    moved = [
        k
        for k in (after - before).abs().argsort(descending=True).tolist()
        if k not in {*one.present, *one.absent} and float((after[k] - before[k]).abs()) >= MOVED
    ]
    said = ", ".join(f"{plain(concepts[k])} {float(before[k]):.0%} to {float(after[k]):.0%}" for k in moved[:MOST])
    return f"{name}: {', '.join(corrected)}; then {said or 'nothing else changes'}"


def dependency_lines(found: Tensor, concepts: Sequence[str]) -> list[str]:
    """The strongest dependencies (K, K), one a line."""
    order = found.abs().flatten().argsort(descending=True, stable=True).tolist()[:MOST]
    lines = []
    for at in order:
        row, column = divmod(at, len(concepts))
        if float(found[row, column].abs()) >= 0.05:
            first, second = plain(concepts[row]), plain(concepts[column])
            lines.append(f"{first} changes {second} by {float(found[row, column]):+.0%}")
    return lines or ["no concept depends on another"]
