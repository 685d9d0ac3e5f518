"""Make the lab's byte-pair vocabulary from captions of training scenes (developers only; needs ``tokenizers``).

    python -m concept_atelier.tools.build_tokenizer

Few merges are learnt, so that frequent words are one token and rarer ones several; words of objects that training
never sees are spelled from pieces. The files have the layout of CLIP's own tokenizer.
"""

import json

from ..lab.model.modules import BOS, EOS, TOKENIZER_FOLDER
from ..lab.world.scene import SceneSettings, sample_scene

MERGES = 380
CAPTIONS = 4000


def byte_letters() -> list[str]:
    """The 256 printable letters that byte-level BPE writes bytes with, in CLIP's order: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(hidden))]


def word_counts() -> dict[str, int]:
    """How often each word stands in captions of training scenes, sublinearly, so that no template word dominates."""
    counts: dict[str, int] = {}
    for seed in range(CAPTIONS):
        caption = sample_scene(
            "train", seed, SceneSettings(size=(32, 32), counts=(1, 2, 2, 3), synonyms=0.5, tinted=0.25, alike=0.15)
        ).caption
        for word in caption.replace(",", " , ").split():
            counts[word] = counts.get(word, 0) + 1
    return {word: max(1, round(count**0.7)) for word, count in sorted(counts.items())}


def learn_merges(counts: dict[str, int]) -> list[tuple[str, str]]:
    """The most frequent pairs, one after the other; ties go to the first in alphabetical order."""
    words = {word: [*word[:-1], word[-1] + "</w>"] for word in counts}
    merges: list[tuple[str, str]] = []
    while len(merges) < MERGES:
        pairs: dict[tuple[str, str], int] = {}
        for word, pieces in words.items():
            for pair in zip(pieces, pieces[1:], strict=False):
                pairs[pair] = pairs.get(pair, 0) + counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {word: apply_merge(pieces, best) for word, pieces in words.items()}
    return merges


def apply_merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces with every occurrence of the pair joined, from the left."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def main() -> None:
    merges = learn_merges(word_counts())
    letters = byte_letters()
    pieces = [*letters, *[letter + "</w>" for letter in letters], *["".join(pair) for pair in merges], BOS, EOS]
    TOKENIZER_FOLDER.mkdir(parents=True, exist_ok=True)
    vocab = json.dumps({piece: index for index, piece in enumerate(pieces)}, ensure_ascii=False)
    (TOKENIZER_FOLDER / "vocab.json").write_text(vocab + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *[" ".join(pair) for pair in merges]]
    (TOKENIZER_FOLDER / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
