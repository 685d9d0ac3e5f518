"""Suggest Related Words."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...core import types
from ...core.erase.parts.related import RelatedWord, WordSearch
from ...core.messages import plain
from ...host.adapters import backbone_of
from ...host.jobs.prompts import check_marks
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ...host.shared.text.token_table import check_widths
from ...lab.world.atlas import synonyms_of
from ..sockets import CATEGORY, ConceptTokens, embeddings_verdict, first_fault, lines_of, list_verdict, text_input

SEARCHED = 32  # words of the vocabulary that are encoded for each word


class SuggestRelatedWords(io.ComfyNode):
    """The words that a text encoder takes for much the same."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSuggestRelatedWords",
            display_name="Suggest Related Words",
            category=f"{CATEGORY}/erase",
            description=(
                "Looks for the words that the text encoder reads most like yours, for the lists of Erase Concepts: "
                "synonyms to be erased too, or neighbours to be preserved. Prune the suggestions in leave_out."
            ),
            search_aliases=["synonyms", "neighbours", "similar words", "thesaurus"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that prompts are encoded with."),
                text_input(
                    "words", "cat", "Words or phrases to find related words for, one per line or separated by commas."
                ),
                io.Int.Input(
                    "count", default=5, min=0, max=SEARCHED, tooltip="How many words to suggest for each at most."
                ),
                io.Float.Input(
                    "least_likeness",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Leave out words whose cosine similarity to yours is below this.",
                ),
                text_input("leave_out", "", "Words that are not to be suggested, one per line or separated by commas."),
                io.Boolean.Input(
                    "with_words",
                    default=True,
                    tooltip="Start the list with your own words, as needed for the input concepts of "
                    "Erase Concepts. Without them, the list suits its input preserve.",
                ),
                ConceptTokens.Input(
                    "tokens", optional=True, tooltip="Learnt tokens that words may name, such as <apple>."
                ),
            ],
            outputs=[io.String.Output(display_name="WORDS", tooltip="The list, one word per line.")],
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        words: str,
        count: int,
        least_likeness: float,
        leave_out: str,
        with_words: bool,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(words, tokens)
        given, without = list(dict.fromkeys(lines_of(words))), lines_of(leave_out)
        if not given:
            raise ValueError("words is empty; name at least one word to find related words for")
        backbone = backbone_of(clip=clip)
        known = {word: synonyms_of(word) if backbone.family == "lab" else () for word in given}
        progress = start_progress(cls.hidden.unique_id)
        learnt = tokens.placeholders() if tokens else {}
        check_widths(backbone.text_widths, learnt)
        search = WordSearch(backbone, learnt, SEARCHED)
        found: dict[str, list[RelatedWord]] = {}
        for done, word in enumerate(given, 1):
            near = search.near(word, [*given, *without], known[word])
            found[word] = [one for one in _known_first(near, known[word])[:count] if one.cosine >= least_likeness]
            progress(done, len(given))
        suggested = list(dict.fromkeys(one.word for near in found.values() for one in near))
        listed_ = [*given, *suggested] if with_words else suggested
        return io.NodeOutput("\n".join(listed_), ui=ui.PreviewText(_said(found, known)))

    @classmethod
    def validate_inputs(cls, words: str | None = None, leave_out: str | None = None) -> bool | str:
        return first_fault(list_verdict("words", words), embeddings_verdict(words=words, leave_out=leave_out))


def _known_first(near: Sequence[RelatedWord], known: Sequence[str]) -> list[RelatedWord]:
    return sorted(near, key=lambda one: one.word not in known)


def _said(found: Mapping[str, Sequence[RelatedWord]], known: Mapping[str, Sequence[str]]) -> str:
    """A line for each word: its suggestions with their likeness."""
    return "\n".join(
        f"{plain(word)}: {', '.join(_entry(one, known[word]) for one in near) or 'no word is as near as that'}"
        for word, near in found.items()
    )


def _entry(one: RelatedWord, known: Sequence[str]) -> str:
    return f"{one.word} ({one.cosine:.2f}{', a known synonym' if one.word in known else ''})"
