"""The prompt of a sampling run, read again: which words stood where, and what the model was given."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ....core.attention.words import occurrences, words_of
from ....core.attribute.mixtures import MixedText, Prompt, unmix
from ....core.attribute.places import Piece
from ....core.backbone import Backbone, Placeholders, TokenizedText
from ....core.messages import listed, shown
from ...adapters import backbone_of, picture_reader
from ...shared.captures import Run
from ...shared.families import FAMILIES
from ...shared.text.prompt_syntax import plain_words
from ..prompts import words_to_show
from .pictured_text import begun_by_pictures, counted_from_end

NOT_THE_TEXT = "this is not the text that was sampled"
SAME_TEXT = (
    "give the same text and tokens as the sampler got, best by one text node that is linked to both; ComfyUI's page "
    "replaces braces such as {cat|dog} and leaves out comments only in CLIP Text Encode and Encode Concept Prompt"
)
NOT_THE_CONDITIONING = (
    "this is not the CONDITIONING that was sampled: connect the one that the sampler got as its positive one"
)
COUNTED = (
    "The text encoder read pictures before the text, so the words are counted from the end. They are right if text is "
    "exactly the prompt that was encoded with the pictures."
)


@dataclass(frozen=True, eq=False)
class SampledText:
    """One positive conditioning.

    Attributes:
        context: (1, L, D).
        mixed: its words and their columns.
        whole: it is the text as it stands, so that nothing has to be said of columns.
        counted: pictures stand before the text, and its words were counted from the end.
    """

    context: Tensor
    mixed: MixedText
    whole: bool
    counted: bool = False


def read_text(clip: Any, text: str, placeholders: Placeholders) -> list[SampledText]:
    """A prompt as CLIP Text Encode reads and encodes it: weights and ``embedding:name`` mean what they mean there.

    Raises as ``backbone_of`` does, and as :func:`~...files.embeddings.read_prompts`.
    """
    backbone = backbone_of(clip=clip)
    return [_plain(backbone.tokenize(text, placeholders), backbone.encode_text([text], placeholders).context)]


def read_run(clip: Any, run: Run, text: str, placeholders: Placeholders) -> list[SampledText]:
    """A prompt as a run sampled it: as :func:`read_text` reads it, or as nodes do that encode it with pictures.

    Raises as :func:`read_text` does, and ``ValueError`` for a run in which nothing was captured, or several texts with
    pictures.
    """
    (exact,) = read_text(clip, text, placeholders)
    if run.parts_about(exact.context):
        return [exact]
    return _with_pictures(clip, exact, run.contexts, text, placeholders) or [exact]


def read_conditioning(
    clip: Any, conditioning: Sequence[Sequence[Any]], text: str, placeholders: Placeholders
) -> list[SampledText]:
    """The entries of a CONDITIONING, and the columns in which the words of ``text`` are found.

    A CONDITIONING holds no words: ``text`` names the prompts that it was made of, one a line, or is the one prompt.
    Found are prompts that were laid one behind another, averaged and weighted (:mod:`....core.attribute.mixtures`).

    Raises:
        ValueError: for an empty text, an entry with several prompts for the pictures of a batch, prompts of which no
            word is found in any entry, and several entries with pictures.
    """
    if not text.strip():
        raise ValueError(
            "a CONDITIONING holds no words: write the prompts that it was made of into text, one a line (link the text "
            "of another node, for instance of a language model)"
        )
    contexts = [_context_of(entry, number) for number, entry in enumerate(conditioning, 1)]
    backbone = backbone_of(clip=clip)
    exact = read_text(clip, text, placeholders)[0]
    if FAMILIES[backbone.family].transformer is not None:
        same = all(_same(exact.context, context) for context in contexts)
        distinct = [one for at, one in enumerate(contexts) if not any(_same(one, other) for other in contexts[:at])]
        pictured = [] if same else _with_pictures(clip, exact, distinct, text, placeholders)
        return pictured or [_exact(exact, context) for context in contexts]
    lines = list(dict.fromkeys(plain_words(line) for line in text.splitlines() if line.strip()))
    prompts = [_prompt(backbone, line, placeholders) for line in lines]
    empty = backbone.encode_text([""]).context[0].float().cpu()
    strange = [context.shape[-1] for context in contexts if context.shape[-1] != empty.shape[-1]]
    if strange:
        raise ValueError(
            f"the CONDITIONING is {strange[0]} wide and this CLIP encodes {empty.shape[-1]}: it was made with another "
            "model's CLIP; connect that one"
        )
    widths = tuple(backbone.text_widths.values())
    read = []
    for context in contexts:
        read.append(
            exact
            if _same(exact.context, context)
            else SampledText(context, unmix(context[0].float().cpu(), prompts, empty, widths), False)
        )
    if not any(one.mixed.text.tokens for one in read):
        raise ValueError(
            "no word of the text is found in the CONDITIONING: write the prompts that it was made of, one a line "
            f"({len(lines)} given); where another pack mixes words with one another, they cannot be found"
        )
    return read


def _exact(exact: SampledText, context: Tensor) -> SampledText:
    """The text, where a CONDITIONING is that text as it stands. Language models mix each row from all words before."""
    if not _same(exact.context, context):
        raise ValueError(
            "the CONDITIONING is not this text as it stands, and the text encoder of this model mixes the words of a "
            "prompt, so that they cannot be found in it: give the whole prompt as text"
        )
    return exact


def _with_pictures(
    clip: Any, exact: SampledText, contexts: Sequence[Tensor], text: str, placeholders: Placeholders
) -> list[SampledText]:
    """The text in that of some contexts which a language model made of it and pictures; none where there is none."""
    reader = picture_reader(clip)
    if reader is None:
        return []
    plain = replace(exact, context=reader.without_pictures(text, placeholders))
    if any(_same(plain.context, context) for context in contexts):
        return [plain]
    read = exact.mixed.text
    found = begun_by_pictures(reader, contexts, read.length)
    return [
        SampledText(context[:1], MixedText(counted_from_end(read, context.shape[1]), exact.mixed.weights), False, True)
        for context in found
    ]


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.to(other), other, rtol=1e-3, atol=1e-3)


def pieces_of(run: Run, sampled: Iterable[SampledText], text: str = "", got: str | None = None) -> list[Piece]:
    """What a run captured of the texts.

    Raises ``ValueError`` when that is nothing, and for texts it did not sample; the message shows ``text``, which was
    given, and ``got``, which the sampler got, where it is known.
    """
    texts = list(sampled)
    found = [Piece(place, maps, one.mixed.text) for one in texts for place, maps in run.parts_about(one.context)]
    several = f" ({run.texts} texts were sampled together)" if run.texts > 1 else ""
    both = f" (given {shown(text)}, sampled {shown(got)})" if got is not None and got != text else ""
    if not found:
        _check_width(run, texts)
        if not all(one.whole for one in texts):
            raise ValueError(NOT_THE_CONDITIONING + several)
    if not found or (both and any(one.counted for one in texts)):
        raise ValueError(f"{NOT_THE_TEXT}{several}{both}: {SAME_TEXT}")
    return found


def _check_width(run: Run, texts: Sequence[SampledText]) -> None:
    """Raise ``ValueError`` for texts that no CLIP of the sampled model can have encoded."""
    sampled, ours = sorted(run.text_widths), {int(one.context.shape[-1]) for one in texts}
    if sampled and not ours & set(sampled):
        raise ValueError(
            f"the MODEL was sampled with text {sampled[0]} wide and this CLIP encodes {min(ours)}: it belongs to "
            "another model; connect the one that encoded the prompt"
        )


def wanted_words(words: Sequence[str], sampled: Iterable[SampledText]) -> list[str]:
    """The words to show, weights and escapes taken off; without any, every word of the texts.

    Raises ``ValueError`` for no words and texts that have none either, and for syntax that would be read as letters.
    """
    sampled = list(sampled)
    if words:
        return list(dict.fromkeys(_checked(word, sampled) for word in dict.fromkeys(map(plain_words, words))))
    with_words = [one for one in sampled if one.mixed.text.tokens] or sampled
    return list(dict.fromkeys(word for one in with_words for word in words_to_show(one.mixed.text)))


def words_verdict(text: str | None, words: Sequence[str] | None) -> bool | str:
    """What is known to be wrong before a run: True, or a text that is empty or does not spell one of the words.

    None stands for what is linked. Learnt tokens pass, since they go by several names, and so does what is no prompt,
    which is reported when it is read.
    """
    if text is None:
        return True
    if not text.strip():
        return "text is empty; write the prompt that is sampled, or link the text node that gives it to the sampler"
    try:
        spelt = _letters(plain_words(text))
        there = [_letters(plain_words(word)) in spelt for word in words or ()]
    except ValueError:
        return True
    absent = [word for word, found in zip(words or (), there, strict=True) if not found and not set("<:") & set(word)]
    if not absent:
        return True
    verb = "is" if len(absent) == 1 else "are"
    return f"words: {listed(map(shown, absent))} {verb} not in the text {shown(text)}; separate words by commas"


def _letters(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def describe_columns(sampled: Sequence[SampledText], words: Sequence[str]) -> str:
    """In which columns words were found, for people; nothing where a text was sampled as it stands."""
    lines = []
    for number, one in enumerate(sampled, 1):
        if not one.whole:
            found = [f"{word} in {_columns(one.mixed, word)}" for word in words if occurrences(one.mixed.text, word)]
            where = f"Entry {number} of the CONDITIONING" if len(sampled) > 1 else "The CONDITIONING"
            lines.append(f"{where} has {'; '.join(found) or 'none of these words'}.")
        lines += [COUNTED] * one.counted
    return " ".join(lines)


def _checked(word: str, sampled: Sequence[SampledText]) -> str:
    """The word; raises ``ValueError`` if it is in none of several texts, which are no text as it stands."""
    texts = [one.mixed.text for one in sampled]
    if not all(one.whole for one in sampled) and not any(occurrences(text, word) for text in texts):
        there = ", ".join(dict.fromkeys(name for text in texts for name, _ in words_of(text)))
        raise ValueError(f"{word!r} is not found in the CONDITIONING; found of the text are: {there}")
    return word


def _columns(mixed: MixedText, word: str) -> str:
    """``columns 5, 6 (weight 0.70)``"""
    weights = mixed.columns_of(word)
    listed = ", ".join(str(column) for column in weights)
    named = f"column{'s' if len(weights) > 1 else ''} {listed}"
    mean = sum(weights.values()) / len(weights)
    return named if abs(mean - 1) < 0.02 else f"{named} (weight {mean:.2f})"


def _plain(read: TokenizedText, context: Tensor) -> SampledText:
    return SampledText(context, MixedText(read, (1.0,) * len(read.tokens)), whole=True)


def _prompt(backbone: Backbone, text: str, placeholders: Placeholders) -> Prompt:
    context = backbone.encode_text([text], placeholders).context[0]
    return Prompt(backbone.tokenize(text, placeholders), context.float().cpu())


def _context_of(entry: Sequence[Any], number: int) -> Tensor:
    """(1, L, D) of an entry of a CONDITIONING."""
    context = entry[0]
    if not isinstance(context, Tensor) or context.ndim != 3 or len(context) == 0:
        raise ValueError(
            f"entry {number} of the CONDITIONING is no context (B, L, D); connect what CLIP Text Encode gives, or what "
            "was made of it"
        )
    if not bool((context == context[:1]).all()):
        raise ValueError(
            f"entry {number} of the CONDITIONING has {len(context)} different prompts for the pictures of a batch; "
            "sample them one by one to read them"
        )
    return context[:1]
