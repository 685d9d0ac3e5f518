"""The record of a method of learning a subject from pictures with masks, and learning it.

After CSR (*Interactive Medical Image Analysis with Concept-based Similarity Reasoning*, Huy et al., CVPR 2025): patches
of the masked parts become prototypes, and what is like them is found in any picture. Its projector, which is trained on
thousands of labelled pictures, is left out: the positions of an encoder, or of a denoiser, are compared as they are.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..explain.activations import Activations
from ..explain.bank import ACTIVE, ConceptBank, check_fits
from ..explain.parts.subject_codes import SCORERS
from ..files.json_texts import a_whole
from ..files.metadata import a_number, map_in
from ..settings import Settings, setting
from .parts.regions import PRESENT, shares_on

FOLDS = 5
"""Parts that the example pictures are divided into at most; each is scored by what the others taught."""
INSIDE_QUANTILE, OUTSIDE_QUANTILE = 0.25, 0.9
"""The threshold lies in the middle between these quantiles of scores inside and outside of the masks. On development
cases of the lab this found more than the threshold of the best IoU over all positions."""


@dataclass(frozen=True)
class SubjectSettings(Settings):
    """What every method has; each field's help is in its metadata."""

    inside: float = setting(
        0.5, "Share of a position that the mask must cover for it to count as the subject.", above=0, most=1
    )
    outside: float = setting(
        0.2, "Share of a position that the mask may cover for it to count as the rest.", least=0, most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outside >= self.inside:
            raise ValueError(f"outside must be below inside, got {self.outside:g} and {self.inside:g}")


S = TypeVar("S", bound=SubjectSettings)

Regions = Literal["shown", "other", "whole"]
"""What corrected regions are: part of the subject, something else, or the whole subject."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Positions that a subject is learnt from.

    Attributes:
        rows: (n, D) prepared.
        shares: (n,) of each that the mask covers, in 0..1.
        inside: (n,) bool, those that count as the subject.
        outside: (n,) bool, those that count as the rest.
    """

    rows: Tensor
    shares: Tensor
    inside: Tensor
    outside: Tensor


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a method learns: a direction (D,) of unit length, and what codes need beside."""

    direction: Tensor
    extra: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class SubjectLearner(Generic[S]):
    """A method of learning a subject.

    Attributes:
        name: its name in workflows and files, a kind of :data:`~core.explain.parts.subject_codes.SCORERS`.
        title: its name for people.
        help: what it does, one sentence.
        settings: the defaults.
        learn: examples, settings and a generator to what is learnt.
        correct: what is learnt, further examples and settings to what is learnt with them.
        note: what people should know beside; whole sentences, may be empty.
    """

    name: str
    title: str
    help: str
    settings: S
    learn: Callable[[Examples, S, torch.Generator], Learnt]
    correct: Callable[[Learnt, Examples, S], Learnt]
    note: str = ""

    def bank(
        self, activations: Activations, masks: Tensor, name: str, settings: S | None = None, seed: int = 0
    ) -> ConceptBank:
        """Learn a subject.

        Args:
            activations: of P pictures.
            masks: (P, H, W) in 0..1, where the subject is; empty ones say that a picture does not show it.
            name: of the subject, for people; it decides nothing.
            settings: the method's own kind; None takes the defaults.
            seed: of what is drawn.

        Raises ``ValueError`` for another number of masks than pictures, and where no mask covers anything.
        """
        settings = settings or self.settings
        shares = _checked(activations, masks)
        flat = activations.rows.flatten(0, 1)
        centre, scale = flat.mean(0), _scale(flat)
        prepared = (activations.rows - centre) / scale
        generator = torch.Generator().manual_seed(seed % 2**63)
        learnt = self.learn(_examples(prepared, shares, settings), settings, generator)
        scores = self._held_out(prepared, shares, settings, generator, learnt)
        floor, threshold, found = _calibrated(scores, shares, settings)
        peak = 2 * (threshold - floor)
        present = _presence((scores - floor) / peak, shares)
        codes = (self._score(prepared, learnt) - floor).clamp(min=0)
        entries = {"settings": json.dumps(asdict(settings)), "pictures": str(len(activations)), "seeds": "1"}
        return ConceptBank(
            learnt.direction[None],
            (name,),
            self.name,
            activations.origin,
            centre,
            scale,
            torch.tensor([peak]),
            (codes.mean() / peak).reshape(1),
            torch.ones(1),
            {**learnt.extra, "floor": torch.tensor([floor]), PRESENT: torch.tensor([present])},
            entries | {"examples": str(int(shares.amax(1).gt(0).sum())), "expected": f"{found:.3f}"},
        )

    def corrected(self, bank: ConceptBank, activations: Activations, masks: Tensor, regions: Regions) -> ConceptBank:
        """A bank of this method that has learnt what regions of pictures show, or do not.

        Args:
            activations: of P pictures.
            masks: (P, H, W) in 0..1, the regions.
            regions: whether they show the subject, show something else, or are the whole subject, so that the rest of
                the pictures is learnt as well.

        Raises ``ValueError`` as :meth:`bank` does, and for activations that do not fit the bank.
        """
        check_fits(bank, activations)
        shares = _checked(activations, masks)
        settings = self._settings_of(bank)
        further = _examples(bank.prepared(activations.rows), shares, settings)
        if regions != "whole":
            rows = further.rows[further.inside]
            yes = torch.full((len(rows),), regions == "shown")
            further = Examples(rows, yes.float(), yes, ~yes)
        kept = {name: bank.extra[name] for name in ("floor", PRESENT)}
        own = {name: tensor for name, tensor in bank.extra.items() if name not in kept}
        learnt = self.correct(Learnt(bank.directions[0], own), further, settings)
        entries = {**bank.metadata, "corrections": str(int(bank.metadata.get("corrections", "0")) + 1)}
        return replace(bank, directions=learnt.direction[None], extra={**learnt.extra, **kept}, metadata=entries)

    def _settings_of(self, bank: ConceptBank) -> S:
        """Those that a bank was learnt with; what a file does not say has the default. Raises ``ValueError`` for
        settings that are none."""
        if "settings" not in bank.metadata:
            return self.settings
        said = map_in(bank.metadata, "settings", "this subject")
        known: dict[str, float] = {}
        for name, value in asdict(self.settings).items():
            read = a_whole if isinstance(value, int) else a_number
            known |= {name: read(said[name], f"{name} in this subject's settings")} if name in said else {}
        return replace(self.settings, **known)

    def _score(self, prepared: Tensor, learnt: Learnt) -> Tensor:
        """(P, T) of prepared rows (P, T, D)."""
        flat = SCORERS[self.name](prepared.flatten(0, 1), learnt.direction[None], learnt.extra)
        return flat[:, 0].unflatten(0, prepared.shape[:2])

    def _held_out(
        self, prepared: Tensor, shares: Tensor, settings: S, generator: torch.Generator, learnt: Learnt
    ) -> Tensor:
        """(P, T) scores of each picture by what the other pictures taught; by all of them where only one shows it."""
        showing = shares.amax(1) > 0
        folds = min(FOLDS, int(showing.sum()))
        if folds < 2:
            return self._score(prepared, learnt)
        number = torch.zeros(len(prepared), dtype=torch.long)
        for group in (showing, ~showing):
            number[group] = torch.arange(int(group.sum())) % folds
        found = torch.zeros(prepared.shape[:2])
        for fold in range(folds):
            out = number == fold
            part = self.learn(_examples(prepared[~out], shares[~out], settings), settings, generator)
            found[out] = self._score(prepared[out], part)
        return found


def _checked(activations: Activations, masks: Tensor) -> Tensor:
    """(P, T) shares that masks cover."""
    if len(masks) != len(activations):
        raise ValueError(
            f"the activations are of {len(activations)} pictures, and {len(masks)} masks are connected; connect one "
            "mask for each picture, in the same order (an empty one where a picture does not show the subject)"
        )
    shares = shares_on(masks, activations.grid, activations.covered)
    if float(shares.max()) <= 0:
        raise ValueError("all masks are empty, so that nothing shows the subject; paint it in at least one picture")
    return shares


def _scale(rows: Tensor) -> Tensor:
    deviation = rows.std(0)
    usual = deviation.median().clamp(min=1e-8)  # a number that never changes says nothing: it must not be blown up
    return torch.where(deviation > 1e-4 * usual, deviation, usual)


def _examples(prepared: Tensor, shares: Tensor, settings: SubjectSettings) -> Examples:
    """Positions of pictures (P, T, D). A subject smaller than a position counts where it covers most."""
    flat = shares.flatten()
    least = min(settings.inside, 0.9 * float(flat.max()))
    outside = flat <= min(settings.outside, 0.5 * least)
    return Examples(prepared.flatten(0, 1), flat, flat >= least, outside)


def _calibrated(scores: Tensor, shares: Tensor, settings: SubjectSettings) -> tuple[float, float, float]:
    """What a code of 0 and of half the peak is, and the mean IoU over pictures at that threshold."""
    examples = _examples(scores[..., None], shares, settings)
    flat = scores.flatten()
    inside = flat[examples.inside]
    outside = flat[examples.outside] if examples.outside.any() else flat
    threshold = float(inside.quantile(INSIDE_QUANTILE) + outside.quantile(OUTSIDE_QUANTILE)) / 2
    floor = min(float(outside.median()), threshold - 1e-3)
    found, true = scores > threshold, shares >= min(settings.inside, 0.9 * float(shares.max()))
    shown = true.any(1)
    both, either = (found & true)[shown].sum(1), (found | true)[shown].sum(1)
    return floor, threshold, float((both / either.clamp(min=1)).mean()) if shown.any() else 0.0


def _presence(codes: Tensor, shares: Tensor) -> float:
    """The strongest code from which a picture counts as showing the subject, of codes (P, T) as shares of the peak.

    It is a fifth below the weakest of the examples, where each was scored by what the others taught. On six development
    subjects of the lab with five examples that kept 98% of the pictures that show it and 40% of those that do not,
    where :data:`~core.explain.bank.ACTIVE` alone keeps nearly all of both.
    """
    strongest = codes.amax(1)[shares.amax(1) > 0]
    return max(ACTIVE, 0.8 * float(strongest.min()))


def unit(direction: Tensor) -> Tensor:
    """A direction (D,) at unit length; the first axis for one of length 0."""
    if float(direction.norm()) == 0:
        direction = torch.eye(len(direction))[0]
    return normalize(direction, dim=0)
