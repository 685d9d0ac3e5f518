"""What a changed text encoder must leave alone: preserved texts, and the empty one.

    R = mean_p || z(p) - z_0(p) ||^2 / || z_0(p) ||^2 ,

over what the denoiser reads of a text p, before (z_0) and after the change (z). Ours: neither HiRM nor few-shot
unlearning has such a term in its paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from .task import EraseTask
from .text_bank import TextBank


@dataclass(frozen=True, eq=False)
class Retained:
    """Texts with what the denoiser read of them before.

    Attributes:
        backbone: the model.
        texts: P of them, the empty one first.
        before: (P, L, D).
        batch: how many a step reads beside the empty one.
        placeholders: learnt tokens that the texts may name.
        generator: the random source.
    """

    backbone: Backbone
    texts: Sequence[str]
    before: Tensor
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
            rows = [
                task.backbone.encode_text(texts[i : i + batch], task.placeholders).context
                for i in range(0, len(texts), batch)
            ]
        return cls(task.backbone, texts, torch.cat(rows).float().clone(), batch, task.placeholders, generator)

    def loss(self, bank: TextBank) -> Tensor:
        """R of the empty text and of a few others that are drawn."""
        others = 1 + torch.randperm(len(self.texts) - 1, generator=self.generator)[: self.batch]
        chosen = [0, *others.tolist()]
        with self.backbone.text_changed(bank.changes()):
            encoded = self.backbone.encode_text([self.texts[i] for i in chosen], self.placeholders)
        before = self.before[chosen]  # (P, L, D)
        errors = (encoded.context.float() - before).square().sum((1, 2))  # (P,)
        return (errors / before.square().sum((1, 2))).mean()
