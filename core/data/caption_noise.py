"""Captions that do not fit their pictures (after NEVLP, Tao et al. 2024, arXiv 2409.09582, and its predecessor NLIP).

The paper recognises noise by how late a pair is learnt in pre-training. Without pre-training the fit itself is taken:
the cosine of picture and caption by an encoder pair, less the mean cosine of that picture with texts of all kinds,
since some pictures are near to every text:

    s_i = cos(x_i, y_i) - mean_r cos(x_i, y_r) ,   eps_i = P(lower group | s_i) ,   w_i = 1 - lambda eps_i

The texts r are no captions of the set: where all captions name one subject, they would hide that a picture does not
show it. eps is from a mixture of two Gaussians, and zero where there is no evidence of two groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..messages import there_are
from .mixture import FEWEST, Mixture, two_groups

LONG = 40
"""Words from which a caption is compared sentence by sentence: encoders read some 77 tokens."""
CHECK, REPLACE = 0.5, 0.9
"""Probabilities of noise from which a caption should be looked at, and replaced."""


@dataclass(frozen=True, eq=False)
class CaptionNoise:
    """How well n captions fit.

    Attributes:
        fit: (n,) s of each pair.
        noise: (n,) eps of each pair.
        nearest: (n,) number of the caption that each picture is nearest to, by the same measure.
        groups: the mixture, None where there were too few pairs.
    """

    fit: Tensor
    noise: Tensor
    nearest: Tensor
    groups: Mixture | None

    @property
    def evident(self) -> bool:
        """Whether some captions are noise at all."""
        return self.groups is not None and self.groups.evident

    def weights(self, strength: float = 1.0) -> Tensor:
        """(n,) w of each pair for training."""
        return 1 - strength * self.noise

    def verdict(self, number: int) -> str:
        """``keep``, ``check`` or ``replace``."""
        noise = float(self.noise[number])
        return "replace" if noise >= REPLACE else "check" if noise >= CHECK else "keep"

    @property
    def said(self) -> str:
        """What was found, one sentence."""
        if self.groups is None:
            return f"With fewer than {FEWEST} pairs, or pairs that all fit alike, noise cannot be estimated."
        if not self.evident:
            return "The pairs do not fall into two groups: no evidence of wrong captions, so that all are kept."
        count = int((self.noise >= CHECK).sum())
        return f"{count} of {len(self.noise)} captions do not seem to fit their pictures."


def caption_noise(
    pictures: Tensor, parts: Tensor, owners: Tensor, captions: Sequence[str], texts: Tensor | None = None
) -> CaptionNoise:
    """Compare pictures with their captions.

    Args:
        pictures: (n, D) unit features.
        parts: (m, D) unit features of captions, or of the sentences of long ones.
        owners: (m,) long, the caption that each part is of, rising.
        captions: n texts; equal ones count as one another's.
        texts: (r, D) unit features of texts of all kinds; None takes the other captions of the set.

    Raises ``ValueError`` for captions of another number than pictures, and, without ``texts``, for one caption alone.
    """
    if len(captions) != len(pictures):
        counts = there_are((len(pictures), "picture"), (len(captions), "caption"))
        raise ValueError(f"{counts}; write one line for each picture")
    known = {text: number for number, text in enumerate(dict.fromkeys(captions))}
    if texts is None and len(known) < 2:
        raise ValueError("all captions are the same, so that none fits better than another")
    likeness = _likeness(pictures @ parts.T, owners, len(captions))  # (n, n)
    if texts is None:
        own = torch.tensor([known[text] for text in captions])  # (n,)
        other = own[:, None] != own[None]  # (n, n)
        usual = (likeness * other).sum(1) / other.sum(1)
    else:
        usual = (pictures @ texts.T).mean(1)  # (n,)
    fit = likeness.diagonal() - usual
    groups = two_groups(fit)
    noise = groups.lower if groups is not None and groups.evident else torch.zeros(len(fit))
    return CaptionNoise(fit, noise, likeness.argmax(1), groups)


def _likeness(cosines: Tensor, owners: Tensor, count: int) -> Tensor:
    """(n, count) of pictures and captions: of a caption in sentences, the mean of the better half of them."""
    columns = []
    for number in range(count):
        own = cosines[:, owners == number]  # (n, sentences)
        columns.append(own.topk((own.shape[1] + 1) // 2, dim=1).values.mean(1))
    return torch.stack(columns, 1)


def parts_of(captions: Sequence[str]) -> tuple[list[str], Tensor]:
    """Captions as texts that an encoder reads whole, and which caption each is of: long ones sentence by sentence."""
    texts: list[str] = []
    owners: list[int] = []
    for number, caption in enumerate(captions):
        found = _sentences(caption) if len(caption.split()) > LONG else [caption]
        texts += found
        owners += [number] * len(found)
    return texts, torch.tensor(owners)


def _sentences(caption: str) -> list[str]:
    """Its sentences; of a long one without stops, or of tags, groups of words."""
    found: list[str] = []
    for sentence in caption.replace("!", ".").replace("?", ".").replace(";", ".").split("."):
        words = sentence.split()
        found += [" ".join(words[at : at + LONG]) for at in range(0, len(words), LONG)]
    return found or [caption]
