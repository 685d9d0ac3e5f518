"""The record of a method of finding ingredients, and finding them with several seeds."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..settings import preset_of
from ..steps import OnStep
from .activations import Activations
from .bank import ConceptBank, ConceptCodes, check_fits, peaks_of
from .parts.measures import explained, matched_cosines
from .parts.task import FindSettings, FindTask, Found

S = TypeVar("S", bound=FindSettings)


PARTS = 100
"""In which the progress of a fit is reported."""

MAX_INGREDIENTS = 1024
CODED_ROWS = 4_096
"""Rows that are coded at once; between two such parts the work can be cancelled."""

MAX_PICTURES = 256
"""Pictures from which it is decided what counts as showing a concept."""


Coder = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
"""Codes (n, K) >= 0 of prepared rows (n, D), given unit directions (K, D) and the method's extra tensors."""


@dataclass(frozen=True, eq=False)
class Finder(Generic[S]):
    """A method of finding ingredients.

    Attributes:
        name: its name in workflows, files and :data:`.registry.METHODS`.
        title: its name for people.
        help: what it does, one sentence.
        presets: preset name to settings; the first is the paper's and the default.
        find: one fit.
        code: codes of rows.
        centred: whether rows are centred, and scaled if the settings say so; else they are taken as they are.
        note: what people should know beside; whole sentences, may be empty.
    """

    name: str
    title: str
    help: str
    presets: Mapping[str, S]
    find: Callable[[FindTask[S]], Found]
    code: Coder
    centred: bool = True
    note: str = ""

    def preset(self, name: str) -> S:
        """Named settings. Raises ``ValueError`` for a name it does not have, listing those it has."""
        return preset_of(self, name)

    def bank(
        self,
        activations: Activations,
        count: int,
        settings: S | None = None,
        seed: int = 0,
        seeds: int = 3,
        on_step: OnStep | None = None,
        halves: bool = False,
        within: Tensor | None = None,
    ) -> ConceptBank:
        """Find ingredients with several seeds, and keep the fit that explains most.

        Concepts are ordered by how much of the activations they explain, and named by their numbers from 1.

        Args:
            activations: what to find them in.
            count: how many.
            settings: the method's own kind; None takes the first preset.
            seed: of the first fit; the others count on.
            seeds: how many fits; stability is measured from the second on.
            on_step: called with how many hundredths of all fits are done, of how many.
            halves: whether to find them in either half of the pictures alone as well, two more fits, and say how well
                each is found again.
            within: (P, h * w) bool, the positions that count; None takes all.

        Raises ``ValueError`` for a count or number of seeds out of range, and for activations that the method cannot
        read.
        """
        settings = settings or next(iter(self.presets.values()))
        rows = activations.sample(settings.rows, torch.Generator().manual_seed(seed), within)
        _check_counts(count, seeds, len(rows))
        centre, scale = self._frame(rows, settings)
        sets = [(rows - centre) / scale] * seeds
        for part in _halves(activations, within, seed) if halves else []:
            of_part = activations.sample(settings.rows, torch.Generator().manual_seed(seed), part)
            sets += [(of_part - centre) / scale] if len(of_part) >= count else []
        fits = self._fits(sets, count, settings, seed, seeds, on_step)
        of_halves = [fit.found.directions for fit in fits[seeds:]]
        best = max(fits[:seeds], key=lambda fit: fit.explained)
        others = [fit.found.directions for fit in fits[:seeds] if fit is not best]
        centre = centre if best.found.shift is None else centre + best.found.shift * scale
        peaks = peaks_of(self._of_pictures(activations, best.found, centre, scale, within))
        return ConceptBank(
            best.found.directions,
            tuple(str(number) for number in range(1, count + 1)),
            self.name,
            activations.origin,
            centre,
            scale,
            peaks,
            (best.codes / peaks).mean(0),
            matched_cosines(best.found.directions, others),
            best.found.extra,
            {
                "settings": json.dumps(asdict(settings)),
                "pictures": str(len(activations)),
                "explained": f"{best.explained:.4f}",
                "active": f"{float((best.codes != 0).float().sum(1).mean()):.2f}",
                "seeds": str(seeds),
            },
            matched_cosines(best.found.directions, of_halves) if len(of_halves) == 2 else None,
        )

    def _fits(
        self, sets: Sequence[Tensor], count: int, settings: S, seed: int, seeds: int, on_step: OnStep | None
    ) -> list["_Fit"]:
        """A fit of each set of rows; the sets behind the first ``seeds`` begin with the first seed again."""
        fits = []
        for number, learnt in enumerate(sets):
            report = partial(_report, on_step, number, len(sets))
            report(0.0)
            generator = torch.Generator().manual_seed((seed + number % seeds) % 2**63)
            fits.append(self._fit(FindTask(learnt, count, settings, generator, report)))
            report(1.0)
        return fits

    def _of_pictures(
        self, activations: Activations, found: Found, centre: Tensor, scale: Tensor, within: Tensor | None
    ) -> Tensor:
        """Codes (P, h * w, K) of at most :data:`MAX_PICTURES` pictures, spread evenly; 0 at positions that do not
        count."""
        chosen = torch.linspace(0, len(activations) - 1, min(MAX_PICTURES, len(activations))).long()
        rows = (activations.rows[chosen] - centre) / scale
        parts = [self.code(part, found.directions, found.extra) for part in rows.flatten(0, 1).split(CODED_ROWS)]
        codes = torch.cat(parts).unflatten(0, rows.shape[:2])
        return codes if within is None else codes * within[chosen][..., None]

    def _frame(self, rows: Tensor, settings: S) -> tuple[Tensor, Tensor]:
        """What rows are centred by and divided by, (D,) each."""
        ones = torch.ones(rows.shape[1])
        if not self.centred:
            return torch.zeros_like(ones), ones
        deviation = rows.std(0)
        # A number that never changes says nothing: it must not be blown up.
        usual = deviation.median().clamp(min=1e-8)
        return rows.mean(0), torch.where(
            deviation > 1e-4 * usual, deviation, usual
        ) if settings.scaled else ones * usual

    def _fit(self, task: FindTask[S]) -> "_Fit":
        """One fit, with unit directions, those first that explain most."""
        found = self.find(task)
        directions = torch.nn.functional.normalize(found.directions.float(), dim=1).contiguous()
        rows = task.rows if found.shift is None else task.rows - found.shift
        codes = self.code(rows, directions, found.extra)
        order = codes.square().sum(0).argsort(descending=True, stable=True)
        count = len(directions)
        extra = {name: one[order] if one.ndim and len(one) == count else one for name, one in found.extra.items()}
        extra |= {name: one[order][:, order] for name, one in found.between.items()}
        ordered = Found(directions[order], extra, shift=found.shift)
        codes = codes[:, order]
        return _Fit(ordered, codes, explained(rows, codes @ ordered.directions))


@dataclass(frozen=True, eq=False)
class _Fit:
    """What one seed found, codes (n, K) of the rows, and the share of them that it explains."""

    found: Found
    codes: Tensor
    explained: float


def _report(on_step: OnStep | None, number: int, seeds: int, share: float) -> None:
    if on_step is not None:
        on_step(number * PARTS + round(share * PARTS), seeds * PARTS)


def _halves(activations: Activations, within: Tensor | None, seed: int) -> list[Tensor]:
    """(P, h * w) bool, twice: the positions that count in either half of the pictures, drawn at random."""
    order = torch.randperm(len(activations), generator=torch.Generator().manual_seed(seed))
    every = torch.ones(activations.rows.shape[:2], dtype=torch.bool) if within is None else within
    parts = []
    for chosen in (order[::2], order[1::2]):
        own = torch.zeros(len(activations), dtype=torch.bool).index_fill(0, chosen, True)
        parts.append(every & own[:, None])
    return parts


def _check_counts(count: int, seeds: int, rows: int) -> None:
    most = min(MAX_INGREDIENTS, rows)
    if rows < 2:
        raise ValueError(f"ingredients are found in two positions or more, got {rows}; give more pictures or masks")
    if not 1 <= count <= most:
        raise ValueError(f"from these activations 1 to {most} ingredients can be found, got {count}")
    if not 1 <= seeds <= 10:
        raise ValueError(f"seeds must be 1 to 10, got {seeds}")


def codes_of(
    code: Coder, bank: ConceptBank, activations: Activations, each: Callable[[], None] = lambda: None
) -> ConceptCodes:
    """How strongly each position of pictures uses the concepts of a bank, by the codes of its kind.

    ``each`` is called before every part of the positions; what it raises ends the work.

    Raises ``ValueError`` for activations that do not fit the bank, see :func:`check_fits`.
    """
    check_fits(bank, activations)
    flat = activations.rows.flatten(0, 1)
    parts = []
    for part in flat.split(CODED_ROWS):
        each()
        parts.append(code(bank.prepared(part), bank.directions, bank.extra))
    values = torch.cat(parts).unflatten(0, activations.rows.shape[:2])
    return ConceptCodes(values, activations.grid, bank, activations.covered)
