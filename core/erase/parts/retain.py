"""What a changed text encoder must leave alone: preserved texts, and the empty one.

    R = mean_p || z(p) - z_0(p) ||^2 / || z_0(p) ||^2 ,

over what the denoiser reads of a text p, before (z_0) and after the change (z); where it also reads a pooled text, as
that of SDXL does, the sum of both terms. Ours: neither HiRM nor few-shot unlearning has such a term in its paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from .task import EraseTask
from .text_bank import TextBank, read_of


@dataclass(frozen=True, eq=False)
class Retained:
    """Texts with what the denoiser read of them before.

    Attributes:
        backbone: the model.
        texts: P of them, the empty one first.
        before: what was read of them, (P, L, D) and (P, D) where there is a pooled text.
        batch: how many a step reads beside the empty one.
        placeholders: learnt tokens that the texts may name.
        generator: the random source.
    """

    backbone: Backbone
    texts: Sequence[str]
    before: Sequence[Tensor]
    batch: int
    placeholders: Placeholders | None
    generator: torch.Generator

    @classmethod
    def of(cls, task: EraseTask, batch: int, generator: torch.Generator) -> "Retained":
        """The empty text, and what is preserved in each sentence of the settings."""
        sentences = [
            one.replace("{}", text) for text in task.preserve if text.strip() for one in task.settings.templates
        ]
        texts = ["", *dict.fromkeys(sentences)]
        with torch.no_grad():
            rows = [_read(task.backbone, texts[i : i + batch], task.placeholders) for i in range(0, len(texts), batch)]
        before = [torch.cat(parts).float().clone() for parts in zip(*rows, strict=True)]
        return cls(task.backbone, texts, before, batch, task.placeholders, generator)

    def loss(self, bank: TextBank) -> Tensor:
        """R of the empty text and of a few others that are drawn."""
        others = 1 + torch.randperm(len(self.texts) - 1, generator=self.generator)[: self.batch]
        chosen = [0, *others.tolist()]
        with self.backbone.text_changed(bank.changes()):
            after = _read(self.backbone, [self.texts[i] for i in chosen], self.placeholders)
        return torch.stack([_moved(now, was[chosen]) for now, was in zip(after, self.before, strict=True)]).sum()


def _read(backbone: Backbone, texts: Sequence[str], placeholders: Placeholders | None) -> list[Tensor]:
    """What the denoiser reads of texts, see :func:`.text_bank.read_of`."""
    return read_of(backbone, backbone.encode_text(texts, placeholders))


def _moved(now: Tensor, was: Tensor) -> Tensor:
    """How far rows (P, ...) have moved, squared and relative to their size; mean over P."""
    errors = (now.float() - was).flatten(1).square().sum(1)  # (P,)
    return (errors / was.flatten(1).square().sum(1)).mean()
