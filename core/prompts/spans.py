"""Where the words that an encoder reads stand in the text as it was written."""

from collections.abc import Sequence


def word_spans(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Start and end of each word in the text, in order, without overlaps.

    Tokenizers change letters to lower case and some characters to others; a word that is not found letter by letter
    takes the next written one.
    """
    lowered = [(small, place) for place, letter in enumerate(text) for small in letter.lower()]
    letters = "".join(small for small, _ in lowered)
    spans, cursor = [], 0
    for word in words:
        at = letters.find(word, cursor) if word else -1
        if at < 0 or letters[cursor:at].strip("\\ \t\r\n"):  # elsewhere in the text, not here
            at = cursor + len(letters[cursor:]) - len(letters[cursor:].lstrip())
            rest = letters[at:].split(maxsplit=1)
            end = at + min(len(word) or 1, len(rest[0])) if rest else at
        else:
            end = at + len(word)
        first = lowered[at][1] if at < len(lowered) else len(text)
        spans.append((first, lowered[end - 1][1] + 1 if end > at else first))
        cursor = end
    return spans
