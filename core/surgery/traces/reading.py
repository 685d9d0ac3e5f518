"""How present concepts are in what a text encoder gives, compared with matched words in the same sentences."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ...backbone import Backbone, KeyValueWeight
from ...messages import shown
from ...types import FullChange
from ..skill import TEXT

TEMPLATES = ("a photo of a {}", "a picture of a {}", "a {}", "{}")
LEAST_OTHERS = 2

OnTexts = Callable[[int], None]
"""Called with how many texts were encoded."""


class WordReader:
    """What words say in a few sentences: at their last token, at the end of the text, and after it.

    Args:
        backbone: of the text encoder, and of the denoiser if one is given.
        words: W of them.
        on_texts: called with how many texts each pass encodes.

    Raises ``ValueError`` for an empty word.
    """

    def __init__(self, backbone: Backbone, words: Sequence[str], on_texts: OnTexts = lambda count: None) -> None:
        self._backbone, self._on_texts, self.words = backbone, on_texts, list(words)
        if not all(word.strip() for word in words):
            raise ValueError("a word is empty; give words or short phrases, one per line")
        self._texts = [template.replace("{}", word) for word in words for template in TEMPLATES]
        self._read = [backbone.tokenize(text) for text in self._texts]

    def contexts(self) -> Tensor:
        """(W, T, R, D) rows of the conditioning, in T sentences at R places; gradients reach changes in force."""
        self._on_texts(len(self._texts))
        return self._places(self._backbone.encode_text(self._texts).context)

    @torch.no_grad()
    def entering(self) -> Tensor:
        """The same as :meth:`Backbone.key_value_weights` read them."""
        self._on_texts(len(self._texts))
        length = max(text.length for text in self._read)
        return self._places(self._backbone.encode_beginnings(self._texts, length))

    @torch.no_grad()
    def heads(self) -> dict[str, Tensor]:
        """Weight after the heads of each layer, as skills name it, to (W, T, R, heads, d) of what they give; layers
        that the model does not read are left out."""
        self._on_texts(len(self._texts))
        read = layers_read(self._backbone)
        with self._backbone.text_layers() as found:
            length = self._backbone.encode_text(self._texts).context.shape[1]
        every: dict[str, Tensor] = {}
        for encoder, layers in found.items():
            for number, given in enumerate(layers.heads[: read[encoder]]):
                size = given.shape[2:]  # (heads, d)
                rows = rows_of_texts(given.flatten(2), len(self._texts), length)
                every[f"{TEXT}{encoder}.{behind_heads(number)}"] = self._places(rows).unflatten(-1, size)
        return every

    def _places(self, context: Tensor) -> Tensor:
        rows = []
        for row, text in zip(context, self._read, strict=True):
            last = max((token.position for token in text.tokens), default=text.end)
            end = min(text.end, len(row) - 1)
            behind = row[end + 1 :].mean(0) if end + 1 < len(row) else row[end]
            rows.append(torch.stack([row[last], row[end], behind]))  # (R, D)
        return torch.stack(rows).unflatten(0, (len(self.words), len(TEMPLATES))).float()


def layers_read(backbone: Backbone) -> dict[str, int]:
    """Text encoder to how many of its layers, from the first on, reach the conditioning; SDXL leaves out the last.

    Raises ``ValueError`` for a model without CLIP text encoders.
    """
    weights = {(one.encoder, one.name): one.weight for one in backbone.text_weights()}
    with torch.no_grad():
        with backbone.text_layers() as layers:
            plain = backbone.encode_text([""]).context
        found = {}
        for encoder, of in layers.items():
            count = len(of.heads)
            while count > 0 and not _reaches(backbone, plain, encoder, count - 1, weights):
                count -= 1
            found[encoder] = count
    return found


def _reaches(
    backbone: Backbone, plain: Tensor, encoder: str, layer: int, weights: Mapping[tuple[str, str], Tensor]
) -> bool:
    """Whether the conditioning changes with a layer of a text encoder."""
    name = behind_heads(layer).replace("weight", "bias")
    # Not a constant, which the norm after the last layer would take away.
    change = torch.linspace(-1, 1, len(weights[encoder, name]))[:, None].to(weights[encoder, name])
    with backbone.text_changed({encoder: {name: FullChange(change)}}):
        return not torch.equal(backbone.encode_text([""]).context, plain)


def behind_heads(layer: int) -> str:
    """The name of the projection after the heads of a text encoder's layer."""
    return f"encoder.layers.{layer}.self_attn.out_proj.weight"


def rows_of_texts(rows: Tensor, texts: int, length: int) -> Tensor:
    """What a text encoder's layer gave (B, L, D) as (texts, length, D): the chunks of each text one after another."""
    chunks = length // rows.shape[1]
    return rows[: texts * chunks].reshape(texts, chunks * rows.shape[1], rows.shape[2])


def apart(rows: Tensor) -> Tensor:
    """(W, ...) what each of W words says compared with the mean of the other ones."""
    others = (rows.sum(0) - rows) / (len(rows) - 1)
    return rows - others


def presence(rows: Tensor, original: Tensor) -> Tensor:
    """(W,) how much of what each word said of its own is still said: 1 all of it, 0 nothing.

    Args:
        rows: (W, T, R, D) of now.
        original: (W, T, R, D), :func:`apart` of the model as it was.
    """
    along = (apart(rows) * original).sum(-1) / original.square().sum(-1).clamp(min=1e-12)  # (W, T, R)
    return along.mean((1, 2))


def reach(rows: Tensor, weights: Sequence[KeyValueWeight], towards: Sequence[Tensor], middle: Tensor) -> Tensor:
    """(W,) how far words reach the denoiser as a concept does, by its keys and values: 1 as far, 0 not.

    Args:
        rows: (W, T, R, D) of words, as the weights read them.
        weights: the weights by which text enters.
        towards: for each weight (T, R, d_out), where the concept leads from the matched words in the original model.
        middle: (T, R, D) of the matched words.
    """
    found = torch.zeros(len(rows))
    for weight, goal in zip(weights, towards, strict=True):
        moved = (rows - middle) @ weight.weight.to(rows).T  # (W, T, R, d_out)
        found += ((moved * goal).sum(-1) / goal.square().sum(-1).clamp(min=1e-12)).mean((1, 2)).cpu()
    return found / len(towards)


def goals(concept: Tensor, middle: Tensor, weights: Sequence[KeyValueWeight]) -> list[Tensor]:
    """For each weight (T, R, d_out), where a concept (T, R, D) leads from the middle (T, R, D) of matched words."""
    return [(concept - middle) @ weight.weight.to(concept).T for weight in weights]


def matched(concept: str, others: Sequence[str]) -> list[str]:
    """The concept, then the words it is compared with, each once.

    Raises ``ValueError`` for fewer than :data:`LEAST_OTHERS` of them.
    """
    words = list(dict.fromkeys([concept, *others]))
    if len(words) < 1 + LEAST_OTHERS:
        raise ValueError(
            f"{shown(concept)} must be compared with at least {LEAST_OTHERS} other words of its kind, got "
            f"{len(words) - 1}; for a cat, write dog, horse, bird"
        )
    return words


def value_weights(backbone: Backbone) -> Mapping[tuple[str, str], Tensor]:
    """Encoder and name to the weight (d, n) of each feed-forward layer whose columns are its value vectors.

    Raises ``ValueError`` for a model without CLIP text encoders.
    """
    found = {
        (one.encoder, one.name): one.weight for one in backbone.text_weights() if one.name.endswith("mlp.fc2.weight")
    }
    if not found:
        raise ValueError(
            "the prompts of this model are not read by CLIP text encoders, the only ones whose value vectors are "
            "known; connect a CLIP of SD1.x, SD2.x or SDXL"
        )
    return found
