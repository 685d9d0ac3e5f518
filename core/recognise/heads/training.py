"""Training a concept head, and what its accuracy is worth.

Accuracy is that of pictures which a head has not seen, in stratified parts, each class counting alike. Beside it stand
a linear probe of the raw numbers of the encoder, and the same training with labels in random order, which a head that
learnt something beats.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...settings import Settings, setting
from ...steps import OnStep
from .features import HeadFeatures, Scaling
from .head import Fitted, scaled
from .layer import ConceptLayer, LayerTask
from .linear import LinearSettings, fit_linear
from .registry import LAYERS

FEWEST = 2
"""Pictures that every class needs."""
PROBE = LinearSettings(largest=0, sparsity=0.0, ridge=0.05)


@dataclass(frozen=True)
class HeadSettings(LinearSettings):
    """Settings of the training of a head beside those of its concept layer."""

    folds: int = setting(5, "Parts of the pictures, each judged by heads that saw the others.", least=2)
    permutations: int = setting(10, "Trainings with labels in random order, as a control.", least=0)


@dataclass(frozen=True, eq=False)
class HeadReport:
    """What a training is worth.

    Attributes:
        accuracy: of held-out pictures, each class counting alike.
        probe: the same of a linear probe of the encoder's raw numbers; None where none was given.
        permuted: accuracies with labels in random order.
        chance: one over the number of classes.
        confusion: (C, C) held-out pictures, rows are what they are.
    """

    accuracy: float
    probe: float | None
    permuted: tuple[float, ...]
    chance: float
    confusion: Tensor

    @property
    def luck(self) -> float | None:
        """How often a training with random labels did as well; None without such trainings."""
        if not self.permuted:
            return None
        return (1 + sum(one >= self.accuracy for one in self.permuted)) / (1 + len(self.permuted))


def fit_head(
    features: HeadFeatures,
    labels: Tensor,
    classes: int,
    layer: ConceptLayer,
    settings: LinearSettings,
    layer_settings: Settings | None = None,
    seed: int = 0,
) -> Fitted:
    """A head of features of P pictures with labels (P,) long."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    given = Scaling.of(features.values)
    own = scaled(features, given)
    parameters = layer.fit(LayerTask(own, labels, classes), layer_settings or layer.settings, generator)
    found = layer.apply(own, parameters).values
    made = Scaling.of(found)
    weights, bias = fit_linear(made.apply(found), labels, classes, settings)
    return Fitted(given, made, parameters, weights, bias)


def check_labels(labels: Tensor, names: tuple[str, ...]) -> None:
    """Raises ``ValueError`` for fewer than two classes, and for one with too few pictures to hold any out."""
    counts = torch.bincount(labels, minlength=len(names)).tolist()
    if len(names) < 2:
        raise ValueError(f"a head needs at least two classes, and all {len(labels)} pictures are of one")
    few = [f"{name} has {count}" for name, count in zip(names, counts, strict=True) if count < FEWEST]
    if few:
        short = ", ".join(few[:5])
        raise ValueError(f"every class needs at least {FEWEST} pictures, and {short}; add some, or leave it out")


def examine_head(
    features: HeadFeatures,
    labels: Tensor,
    classes: int,
    layer: ConceptLayer,
    settings: HeadSettings,
    layer_settings: Settings | None = None,
    raw: HeadFeatures | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> HeadReport:
    """Held-out accuracy of a training, beside a probe of raw features and trainings with random labels."""
    folds = folds_of(labels, classes, settings.folds, seed)
    total, done = (1 + settings.permutations) * (int(folds.max()) + 1), 0

    def run(given: HeadFeatures, wanted: Tensor, by: ConceptLayer, chosen: LinearSettings, counts: bool) -> Tensor:
        nonlocal done
        answers = torch.zeros_like(wanted)
        own = layer_settings if by is layer else None
        for fold in range(int(folds.max()) + 1):
            out = folds == fold
            fitted = fit_head(given.of(~out), wanted[~out], classes, by, chosen, own, seed)
            answers[out] = fitted.logits(fitted.concepts(given.of(out), by.name).values).argmax(1)
            done += counts
            if counts and on_step is not None:
                on_step(done, total)
        return answers

    answers = run(features, labels, layer, settings, True)
    probe = None
    if raw is not None:
        probe = balanced(run(raw, labels, LAYERS["none"], PROBE, False), labels, classes)
    generator = torch.Generator().manual_seed((seed + 1) % 2**63)
    permuted = []
    for _ in range(settings.permutations):
        shuffled = _within_counts(labels, folds, generator)
        permuted.append(balanced(run(features, shuffled, layer, settings, True), shuffled, classes))
    confusion = torch.zeros(classes, classes, dtype=torch.long)
    confusion.index_put_((labels, answers), torch.ones_like(labels), accumulate=True)
    return HeadReport(balanced(answers, labels, classes), probe, tuple(permuted), 1 / classes, confusion)


def balanced(answers: Tensor, labels: Tensor, classes: int) -> float:
    """The mean over classes of the share of their pictures that are answered rightly."""
    shares = [float((answers[labels == one] == one).float().mean()) for one in range(classes) if (labels == one).any()]
    return sum(shares) / len(shares)


def folds_of(labels: Tensor, classes: int, most: int, seed: int) -> Tensor:
    """(P,) the part of each picture, at most ``most``: every class is spread over all parts as evenly as it goes."""
    count = min(most, int(torch.bincount(labels, minlength=classes).min()))
    generator, found = torch.Generator().manual_seed(seed % 2**63), torch.zeros_like(labels)
    for one in range(classes):
        chosen = (labels == one).nonzero()[:, 0]
        found[chosen[torch.randperm(len(chosen), generator=generator)]] = torch.arange(len(chosen)) % count
    return found


def _within_counts(labels: Tensor, folds: Tensor, generator: torch.Generator) -> Tensor:
    """Labels in random order within each part, so that every part keeps its number of each class."""
    shuffled = labels.clone()
    for fold in range(int(folds.max()) + 1):
        chosen = (folds == fold).nonzero()[:, 0]
        shuffled[chosen] = labels[chosen[torch.randperm(len(chosen), generator=generator)]]
    return shuffled
