"""Captions for people: what was added and from where, and what a folder's captions cannot teach."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ....core.messages import counted, plain, shown, there_are
from ....core.recognise.captions.complete import Addition
from ....core.recognise.captions.lint import Fix, Lint
from ...pictures.captioned_list import ListEntry, captioned_list
from ...pictures.figure_table import FAINT, GOOD, INK

MOST_LISTED, MOST_SHOWN, HIGH = 12, 24, 0.9
"""Lines of a kind in a report, pictures on a sheet, and the share of a trigger's pictures from which it takes over what
they have in common."""


def lines_for(text: str, count: int) -> list[str]:
    """The lines of a text about so many pictures: empty ones count, except for those behind the last picture."""
    lines = [line.strip() for line in text.split("\n")]
    while len(lines) > count and not lines[-1]:
        lines.pop()
    return lines


def caption_lines(text: str, count: int) -> list[str]:
    """A caption for each picture; empty lines count, except for those behind the last picture.

    Raises ``ValueError`` for another number of lines than pictures, and where all of them are empty.
    """
    if not text.strip():
        raise ValueError(
            "there are no captions; put a text file beside each picture of the folder (cat.txt beside cat.png), or "
            "write a line for each picture into captions"
        )
    lines = lines_for(text, count)
    if len(lines) != count:
        raise ValueError(f"{there_are((count, 'picture'), (len(lines), 'caption'))}; write one line for each picture")
    return lines


def captions_meant(text: str, names: Sequence[str]) -> int:
    """How many captions a text holds where no pictures are given: one for each name, or its lines up to the last one
    that is not empty."""
    return len(names) or text.rstrip("\n").count("\n") + 1


def completed(captions: Sequence[str], additions: Sequence[Sequence[Addition]], concepts: Sequence[str]) -> list[str]:
    """Captions with what was added behind them."""
    return [
        ", ".join([*([caption.rstrip(" ,.")] if caption.strip() else []), *(concepts[one.concept] for one in of)])
        if of
        else caption
        for caption, of in zip(captions, additions, strict=True)
    ]


def completion_sheet(
    pictures: Tensor,
    captions: Sequence[str],
    additions: Sequence[Sequence[Addition]],
    concepts: Sequence[str],
    names: Sequence[str],
) -> Tensor:
    """IMAGE (1, h, w, 3): pictures (P, 3, H, W) whose captions were completed, each with what was added and from
    where; the first pictures where nothing was."""
    changed = [number for number, of in enumerate(additions) if of][:MOST_SHOWN] or list(range(min(4, len(pictures))))
    entries = []
    for number in changed:
        said = "   ".join(f"+ {concepts[one.concept]} {one.probability:.0%}" for one in additions[number])
        sources = ", ".join(dict.fromkeys(names[one.source] for one in additions[number]))
        lines = [(f"{names[number]}: {captions[number]}", INK), (said or "nothing to add", GOOD if said else FAINT)]
        entries.append(ListEntry(pictures[number], [*lines, (f"as in {sources}" if sources else "", FAINT)]))
    return captioned_list(entries)


def completion_report(additions: Sequence[Sequence[Addition]], concepts: Sequence[str], names: Sequence[str]) -> str:
    """How many captions were completed, and a line for each of them."""
    count = sum(map(len, additions))
    were, captions = "was" if count == 1 else "were", counted(len(additions), "caption")
    lines = [f"{counted(count, 'concept')} {were} added to {sum(map(bool, additions))} of {captions}."]
    for number, of in enumerate(additions):
        said = ", ".join(
            f"{plain(concepts[one.concept])} ({one.probability:.0%}, as in {plain(names[one.source])})" for one in of
        )
        lines += [f"{plain(names[number])}: {said}"] if of else []
    if count:
        lines.append(
            "Look at the sheet: where words are wrong, raise probability (here in brackets); lower it for more."
        )
    return "\n".join(lines)


def lint_report(
    found: Lint,
    concepts: Sequence[str],
    names: Sequence[str],
    trigger: tuple[str, Tensor, Tensor] | None = None,
    looks: Sequence[tuple[str, float]] = (),
) -> str:
    """What a folder cannot teach and what to change, whole sentences.

    Args:
        trigger: the trigger word, (P,) bool the captions that have it, and (P, K) bool what each caption mentions.
        looks: what most of the trigger's pictures look like, with their share, captioned or not.
    """
    lines = [_pair(concepts, one, "always occur together: nothing separates them") for one in found.together]
    lines += [f"{shown(concepts[a])} never comes without {shown(concepts[b])}." for a, b in found.implied]
    lines = lines[:MOST_LISTED] or ["No two concepts always stand together."]
    if trigger is not None:
        lines += _trigger(concepts, *trigger)
    whose = "the pictures" if trigger is None else f"the pictures of {shown(trigger[0])}"
    lines += [
        f"{share:.0%} of {whose} look like {shown(look)}: what is trained on them may always draw it so."
        for look, share in looks
        if share >= HIGH
    ]
    worst = int(found.inflation.argmax())
    if float(found.inflation[worst]) > 10:
        lines.append(
            f"{shown(concepts[worst])} is the concept best predicted by the others (variance "
            f"inflation {_size(found, worst)})."
        )
    lines.append(
        f"How well the captions separate concepts: {found.identified:.2f} (smallest singular value over the largest; "
        "at 0 one concept always follows from others)."
    )
    lines += [f"To do {number}: {_fix(fix, concepts, names)}" for number, fix in enumerate(found.fixes, 1)]
    lines += [] if found.fixes else ["To do: nothing. No picture to drop or to add was found."]
    return "\n".join(lines)


def looks_of(text: str) -> list[list[str]]:
    """Groups of looks that exclude one another, one group a line.

    Raises ``ValueError`` for a group of fewer than two.
    """
    groups = [[one.strip() for one in line.split(",") if one.strip()] for line in text.splitlines() if line.strip()]
    for group in groups:
        if len(group) < 2:
            raise ValueError(f"a line of looks needs at least two that exclude one another, got {shown(group[0])}")
    return groups


def look_shares(similar: Tensor, groups: Sequence[Sequence[str]], chosen: Tensor) -> list[tuple[str, float]]:
    """Of each group of looks, the most frequent one among the chosen pictures, and its share.

    Args:
        similar: (P, N) cosines of pictures with all looks, group by group.
        chosen: (P,) bool.
    """
    found = []
    for group, part in zip(groups, similar[chosen].split([len(one) for one in groups], 1), strict=True):
        shares = part.argmax(1).bincount(minlength=len(group)).float() / max(1, len(part))
        best = int(shares.argmax())
        found.append((group[best], float(shares[best])))
    return found


def prompts_to_add(found: Lint, concepts: Sequence[str]) -> list[str]:
    """Prompts for the pictures that should be added."""
    return [", ".join(concepts[index] for index in fix.present) for fix in found.fixes if fix.drop is None]


def _pair(concepts: Sequence[str], pair: tuple[int, int], said: str) -> str:
    return f"{shown(concepts[pair[0]])} and {shown(concepts[pair[1]])} {said}."


def _size(found: Lint, index: int) -> str:
    value = float(found.inflation[index])
    return "above 1000" if value > 1000 else f"{value:.0f}"


def _trigger(concepts: Sequence[str], word: str, has: Tensor, tags: Tensor) -> list[str]:
    """What a trigger word goes with."""
    if not bool(has.any()):
        return [f"No caption has the trigger {shown(word)}."]
    shares, rest = tags[has].float().mean(0), tags[~has].float().mean(0) if bool((~has).any()) else torch.zeros(1)
    lines = []
    for index in shares.argsort(descending=True, stable=True).tolist():
        usual = float(rest[index]) if len(rest) == len(shares) else 0.0
        if (
            concepts[index].lower() != word.lower()
            and float(shares[index]) >= HIGH
            and usual < float(shares[index]) / 2
        ):
            lines.append(
                f"{float(shares[index]):.0%} of the captions with the trigger {shown(word)} mention "
                f"{shown(concepts[index])}, others {usual:.0%}: the two are entangled."
            )
    return lines[:MOST_LISTED] or [f"The trigger {shown(word)} is entangled with no concept of the captions."]


def _fix(fix: Fix, concepts: Sequence[str], names: Sequence[str]) -> str:
    if fix.drop is not None:
        return f"drop {plain(names[fix.drop])}."
    shows = ", ".join(plain(concepts[index]) for index in fix.present)
    return f"add a picture of {shows}, without {plain(concepts[fix.absent])}."
