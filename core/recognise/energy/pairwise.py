"""A joint energy of picture, concepts and class: correct one concept, and its relatives follow.

After Energy-Based Concept Bottleneck Models (Xu et al., ICLR 2024). The paper trains small networks for the energies of
picture and class, picture and concept, and concepts and class. Here all of it is one pairwise energy, which a folder of
some dozen captions can fit:

    E(c | x) = - sum_k c_k (b_k + a_k e_k(x)) - sum_{k<l} c_k c_l J_kl

with concepts c_k of 0 or 1, the class being concepts of which exactly one is 1, and e_k(x) what the picture says of a
concept. It is fitted by pseudo-likelihood: each concept, or the class, given all others. Correcting a concept clamps
it, and the others are found by mean fields, which minimise the free energy over relaxed concepts as the paper descends
on them. Without pictures it is an energy of tags alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softplus

from ...settings import Settings, setting

FREE = -1.0
"""In place of 0 and 1, for a concept that is not fixed."""
SWEEPS, DAMPING, TOLERANCE = 200, 0.5, 1e-5
ROUND = 0.02
"""Couplings below which the l1 penalty is rounded off, so that it has a gradient everywhere."""


@dataclass(frozen=True)
class EnergySettings(Settings):
    """Settings of :func:`fit_energy`; each field's help is in its metadata."""

    ridge: float = setting(0.1, "Penalty on squared couplings, shared by all pictures.", above=0)
    sparsity: float = setting(0.1, "Penalty on absolute couplings, in units of sqrt(log K / P).", least=0)
    steps: int = setting(300, "Updates.", least=1)
    rate: float = setting(0.05, "Learning rate of Adam.", above=0)


@dataclass(frozen=True, eq=False)
class Energy:
    """An energy of K concepts.

    Attributes:
        bias: (K,). scale: (K,) of 0 or more, how much the picture's say counts.
        coupling: (K, K), symmetric, 0 on the diagonal.
        classes: numbers of concepts of which exactly one is present; may be empty.
    """

    bias: Tensor
    scale: Tensor
    coupling: Tensor
    classes: tuple[int, ...] = ()

    def of(self, concepts: Tensor, evidence: Tensor | None = None) -> Tensor:
        """(P,) the energy of concepts (P, K) of 0 and 1."""
        alone = self.bias if evidence is None else self.bias + self.scale * evidence
        return -(concepts * alone).sum(-1) - 0.5 * ((concepts @ self.coupling) * concepts).sum(-1)

    def fields(self, concepts: Tensor, evidence: Tensor | None = None) -> Tensor:
        """(P, K) log odds of each concept, given all others."""
        alone = self.bias if evidence is None else self.bias + self.scale * evidence
        return alone + concepts @ self.coupling


def fit_energy(
    tags: Tensor, evidence: Tensor | None = None, classes: Sequence[int] = (), settings: EnergySettings | None = None
) -> Energy:
    """The energy of P pictures with tags (P, K) bool, and what each picture says of each concept (P, K), which must
    come from something that has not seen that picture's tags.

    Raises ``ValueError`` for fewer than four pictures or two concepts, and for pictures without exactly one class.
    """
    settings = settings or EnergySettings()
    if tags.ndim != 2 or len(tags) < 4 or tags.shape[1] < 2:
        raise ValueError(f"an energy needs at least 4 captions and 2 concepts, got {tuple(tags.shape)}")
    group = list(classes)
    if len(group) == 1 or (group and not bool((tags[:, group].sum(1) == 1).all())):
        raise ValueError("every caption must name exactly one of the classes, of which there are at least two")
    with torch.inference_mode(False), torch.enable_grad():
        on = tags.float().clone()
        said = torch.zeros_like(on) if evidence is None else evidence.float().clone()
        start = on.mean(0).clamp(0.01, 0.99).logit()
        bias, raw = start.clone().requires_grad_(True), torch.zeros(len(start)).requires_grad_(True)
        pairs = torch.zeros(len(start), len(start)).requires_grad_(True)
        optimiser = torch.optim.Adam([bias, raw, pairs], lr=settings.rate)
        slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, settings.steps)
        for _ in range(settings.steps):
            energy = Energy(bias, softplus(raw), _coupling(pairs, group), tuple(group))
            loss = _pseudo_likelihood(energy, on, said) + _penalty(energy.coupling, len(on), settings)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            slower.step()
        scale = softplus(raw) if evidence is not None else torch.zeros(len(start))
        return Energy(bias.detach(), scale.detach(), _coupling(pairs, group).detach(), tuple(group))


def infer(energy: Energy, fixed: Tensor, evidence: Tensor | None = None) -> Tensor:
    """(P, K) the probability of each concept, where (P, K) ``fixed`` holds 0, 1, or :data:`FREE`.

    Fixing one class to 1 fixes the others to 0.
    """
    held = fixed.clone()
    group = list(energy.classes)
    if group:
        chosen = (held[:, group] == 1).any(1, keepdim=True)
        held[:, group] = torch.where(chosen & (held[:, group] != 1), 0.0, held[:, group])
    free = held == FREE
    now = torch.where(free, energy.fields(torch.zeros_like(held), evidence).sigmoid(), held)
    for _ in range(SWEEPS):
        fields = energy.fields(now, evidence)
        wanted = fields.sigmoid()
        if group:
            allowed = torch.where(held[:, group] == 0, -torch.inf, fields[:, group])
            wanted[:, group] = allowed.softmax(1)
        moved = torch.where(free, DAMPING * now + (1 - DAMPING) * wanted, held)
        change, now = float((moved - now).abs().max()), moved
        if change < TOLERANCE:
            break
    return now


def dependencies(energy: Energy) -> Tensor:
    """(K, K) by how much the probability of the column rises where the row is known to be present instead of absent,
    nothing else being known."""
    count = len(energy.bias)
    known = torch.full((2, count, count), FREE)
    known[0].fill_diagonal_(0)
    known[1].fill_diagonal_(1)
    absent, present = infer(energy, known.flatten(0, 1)).unflatten(0, (2, count))
    return (present - absent).fill_diagonal_(0)


def _coupling(pairs: Tensor, group: Sequence[int]) -> Tensor:
    """Symmetric couplings without those of a concept with itself, and of classes among themselves."""
    keep = 1 - torch.eye(len(pairs))
    for k in group:
        keep[k, list(group)] = 0
    return (pairs + pairs.T) / 2 * keep


def _penalty(coupling: Tensor, pictures: int, settings: EnergySettings) -> Tensor:
    absolute = (coupling.square() + ROUND**2).sqrt() - ROUND
    sparse = settings.sparsity * (math.log(len(coupling)) / pictures) ** 0.5
    return settings.ridge / pictures * coupling.square().sum() + sparse * absolute.sum()


def _pseudo_likelihood(energy: Energy, on: Tensor, said: Tensor) -> Tensor:
    fields, group = energy.fields(on, said), list(energy.classes)
    rest = [k for k in range(on.shape[1]) if k not in set(group)]
    loss = binary_cross_entropy_with_logits(fields[:, rest], on[:, rest], reduction="none").sum(1).mean()
    return loss + cross_entropy(fields[:, group], on[:, group].argmax(1)) if group else loss
