"""ClassDiffusion's semantic preservation: a learnt token keeps saying what kind of thing it is.

Huang et al., "ClassDiffusion: More Aligned Personalization Tuning with Explicit Class Guidance", ICLR 2025,
arXiv 2405.17532. A term for any method that learns tokens: ``L_sp = 1 - cos(e(a photo of a <v> class),
e(a photo of a class))``, e the text feature at the end-of-text token. Its gradient reaches the tokens alone, since
no picture is looked at.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...attention.words import occurrences, spelling
from ...backbone import Backbone, Placeholders, TextTooLongError, TokenVectors
from ...messages import shown
from ...sampling import encode_for_passes
from .prompts import placeholder

ClassTerm = Callable[[Mapping[str, TokenVectors]], Tensor]


def class_term(backbone: Backbone, classes: Mapping[str, str], template: str = "a photo of a {}") -> ClassTerm:
    """The loss of tokens (concept name to vectors) that shall stay near their classes, a scalar in 0..2.

    It is the mean over the concepts that have a class word; others are left free. The class phrases are read once.

    Args:
        backbone: reads the phrases.
        classes: concept name to class word or words.
        template: the phrase; ``{}`` is where the class goes, after its token.

    Raises ``ValueError`` without a class word, and for a template without its ``{}``;
    :class:`~...backbone.TextTooLongError`, here or in the first call, for a class whose phrase ends before it.
    """
    classes = {name: word.strip() for name, word in classes.items() if word.strip()}
    if not classes:
        raise ValueError("class_weight is above 0, but no concept has a class word: give some, or set it to 0")
    if template.count("{}") != 1:
        raise ValueError(f"a class template needs exactly one {{}} where the class goes, got {shown(template)}")
    without = {name: template.replace("{}", word) for name, word in classes.items()}
    with_token = {name: template.replace("{}", f"{placeholder(name)} {word}") for name, word in classes.items()}
    _check_class_is_read(backbone, without, classes, {})
    anchors = text_features(backbone, list(without.values())).detach()  # (K, E, D)

    def term(tokens: Mapping[str, TokenVectors]) -> Tensor:
        vectors = {placeholder(name): tokens[name] for name in classes}
        _check_class_is_read(backbone, with_token, classes, vectors)
        features = text_features(backbone, list(with_token.values()), vectors)  # (K, E, D)
        return (1 - F.cosine_similarity(features, anchors, dim=-1)).mean()

    return term


def text_features(backbone: Backbone, texts: list[str], placeholders: Placeholders | None = None) -> Tensor:
    """What the encoder says at the end of each text: (B, E, D), part of the graph; E is the number of encoders whose
    rows lie one behind another, 1 on most models.

    Read at the *first* end-of-text position of what the denoiser reads: encoders with an old configuration pool at
    the largest token id, which is the added token's, where the class word has not been read yet.
    """
    found: dict[int, Tensor] = {}
    for rows, encoded in encode_for_passes(backbone, texts, placeholders):
        for place, number in enumerate(rows):
            ends = backbone.tokenize(texts[number], placeholders).ends
            found[number] = encoded.context[place, list(ends)].float()  # (E, D)
    return torch.stack([found[number] for number in range(len(texts))])


def _check_class_is_read(
    backbone: Backbone, phrases: Mapping[str, str], classes: Mapping[str, str], vectors: Placeholders
) -> None:
    """Raise ``TextTooLongError`` unless each class stands before the end that its phrase is read at: a long phrase is
    read in chunks, and the first one ends without what comes later."""
    for name, phrase in phrases.items():
        read = backbone.tokenize(phrase, vectors)
        last = [run[-1] for run in occurrences(read, spelling(backbone.tokenize(classes[name])))]
        blocks = zip(read.spans, read.ends, strict=True)
        if not all(any(span.start <= at < end for at in last) for span, end in blocks):
            raise TextTooLongError(
                f"the class of {shown(name)} does not fit into the first {read.ends[0]} positions of its phrase, which "
                "is all that the class term reads: give a shorter class, or use fewer vectors per token"
            )
