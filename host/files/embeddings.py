"""``embedding:name`` in prompts, as ComfyUI writes learnt tokens that lie in files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...core.backbone import Placeholders
from ...core.files import PICKLED, load_embedding
from ...core.messages import listed
from ..shared.text.prompt_syntax import KEYWORD, Part, Reference, missing_embedding, named, read_marked, read_syntax
from . import folders


def read_prompts(
    texts: Sequence[str], placeholders: Placeholders, widths: Mapping[str, int], extra_folders: tuple[Path, ...] = ()
) -> tuple[list[list[Part]], Placeholders]:
    """The parts of each prompt, and the vectors of all that they refer to.

    Args:
        texts: prompts in ComfyUI's syntax.
        placeholders: what stands for ``<apple>`` and the like.
        widths: of each text encoder's table; files that do not fit are refused.
        extra_folders: where embeddings are looked up first.

    Returns:
        the parts, references by the names of placeholders; the placeholders given, and ``embedding:name`` of files.

    Raises:
        ValueError: as :func:`~..shared.text.prompt_syntax.read_syntax` does, and for embeddings of another model.
        FileNotFoundError: for embeddings that are in none of the folders. (ComfyUI leaves them out with a line in its
            log; the picture then lacks them silently.)
    """
    read, known = [], dict(placeholders)
    for text in texts:
        _, marks, parts = read_marked(text, placeholders)
        names = [part.name for part in parts if isinstance(part, Reference) and part.name not in marks]
        for name in names:
            if KEYWORD + name not in known:
                tokens = load_embedding(find_embedding(name, extra_folders), widths)
                known[KEYWORD + name] = next(iter(tokens.vectors.values()))
        read.append(named(parts, marks))
    return read, known


def find_embedding(name: str, extra_folders: tuple[Path, ...] = ()) -> Path:
    """The file of an embedding named with or without its ending; sub-folders are searched, too, as in ComfyUI."""
    wanted = name if name.lower().endswith((".safetensors", *PICKLED)) else f"{name}.safetensors"
    try:
        relative = folders.safe_name(wanted, "embedding name")
    except folders.BadNameError as error:
        said = missing_embedding(name)
        raise folders.BadNameError(said if said.endswith(")") else f"{said}; {error}") from error
    searched = list(dict.fromkeys([*extra_folders, *folders.current().models.get("embeddings", ())]))
    for folder in searched:
        found = [folder / relative, *sorted(folder.rglob(relative.name))]
        match = next((p for p in found if p.is_file() and p.parts[-len(relative.parts) :] == relative.parts), None)
        if match is not None:
            return match
    looked = listed(map(str, searched), letters=300) or "no folder"
    files = sorted(path.relative_to(folder) for folder in searched for path in folder.rglob("*.safetensors"))
    there = listed((file.with_suffix("").as_posix() for file in files), most=5)
    held = f"there are {there}" if there else "there is no embedding at all"
    twin = folders.pickled_twin(searched, wanted)
    raise FileNotFoundError(f"{missing_embedding(name)}; looked in {looked}; {held}{twin}")


def missing_in(text: str) -> Iterator[str]:
    """What is wrong with each embedding that a text names and that lies in no folder; nothing for texts that are no
    prompt, such as a list of pairs."""
    try:
        parts = read_syntax(text) if KEYWORD in text else []
    except ValueError:
        return
    for name in dict.fromkeys(part.name for part in parts if isinstance(part, Reference)):
        try:
            find_embedding(name)
        except (OSError, ValueError) as error:
            yield str(error)
