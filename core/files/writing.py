"""Writing files: whole or not at all, under names that no other run takes, with nothing left of runs that were killed.

What is written goes to a temporary file beside its target first. Its name says which process writes it, so that what a
killed process left can be distinguished from what another one is writing at this moment.
"""

import errno
import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

Write = Callable[[Path], object]
"""Writes a file's whole content to the path that it is given."""

_TEMPORARY = re.compile(r"\.atelier-(?P<machine>[0-9a-f]{8})-(?P<process>\d{1,10})-[0-9a-f]{12}\.tmp(\.\w+)?")
_FORMER = re.compile(r"\..+\.[0-9a-f]{12}\.tmp(\.\w+)?|\.saving-[0-9a-f]{16}\.safetensors")
"""Names that version 0.1 gave to temporary files, without their process."""
_ABANDONED = 7 * 24 * 3600.0
"""Seconds after which a temporary file of an unknown process belongs to none."""

_CANNOT = "cannot be written"
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)
"""What file systems without hard links answer when they are asked for one."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``, in one step.

    When the body raises (a full disk, Ctrl-C, anything) the temporary file goes and an earlier ``path`` stays as it
    was. A process that is killed leaves at most a hidden temporary file, which :func:`sweep` finds. Folders are made
    as needed.

    Raises:
        OSError: naming ``path``, when it cannot be written.
    """
    path = Path(path)
    with _temporary(path) as temporary:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)


def write_numbered(stem: Path, contents: Mapping[str, Write], first: int = 0) -> tuple[int, list[Path]]:
    """Write files ``<stem>_00001_.csv``, ``<stem>_00001_.json`` ... under one number that none of them had before.

    Two runs that write into one folder at once never get the same number.

    Args:
        contents: file ending (``csv``) to what writes it.
        first: the number to try first; 0 looks which are taken.

    Returns:
        The number, and the paths.

    Raises ``OSError`` naming the file, when it cannot be written.
    """
    number = first or next_number(stem)
    with ExitStack() as stack:
        written: dict[str, Path] = {}
        for ending, write in contents.items():
            written[ending] = stack.enter_context(_temporary(_numbered(stem, number, ending)))
            write(written[ending])
            _flush_to_disk(written[ending])
        while not _claim({_numbered(stem, number, ending): temporary for ending, temporary in written.items()}):
            number += 1
    return number, [_numbered(stem, number, ending) for ending in contents]


def write_named(path: Path, write: Write, since: float | None = None) -> Path:
    """Write ``path``, in place of a file of that name.

    Args:
        since: a file that was written after this time (seconds since 1970) is that of another run of now: it stays,
            and the first of ``<path>_2``, ``<path>_3`` ... that is free is taken. None replaces whatever is there.

    Returns:
        The path that was taken.

    Raises ``OSError`` naming the file, when it cannot be written.
    """
    path = Path(path)
    with _temporary(path) as temporary:
        write(temporary)
        _flush_to_disk(temporary)
        if _claim({path: temporary}):
            return path
        if since is None or not _written_since(path, since):
            os.replace(temporary, path)
            return path
        number = 2
        while not _claim({_second(path, number): temporary}):
            number += 1
    return _second(path, number)


def write_absent(path: Path, write: Write) -> bool:
    """Write ``path`` unless there is something of that name, whoever put it there; says whether it was written."""
    path = Path(path)
    if path.exists():
        return False
    with _temporary(path) as temporary:
        write(temporary)
        _flush_to_disk(temporary)
        return _claim({path: temporary})


def next_number(stem: Path) -> int:
    """The number after the greatest that a file named ``<stem>_<number>_`` has; 1 where there is none."""
    pattern = re.compile(re.escape(stem.name) + r"_(\d{1,9})_?\.\w+")
    names = (p.name for p in stem.parent.iterdir()) if stem.parent.is_dir() else ()
    return 1 + max((int(m.group(1)) for m in map(pattern.fullmatch, names) if m), default=0)


def sweep(folder: Path) -> list[Path]:
    """Delete what killed processes left in a folder (not below it), and say which files those were.

    A temporary file goes when its process, of this machine, is no longer there. Of other machines (on a shared disk),
    and of names that do not say, it goes after a week.
    """
    swept = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and _is_left_over(entry):
                with suppress(OSError):
                    os.unlink(entry.path)
                    swept.append(Path(entry.path))
    return swept


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path beside ``path`` for its content, which is gone afterwards whatever happens; errors name ``path``."""
    try:
        _make_folder(path.parent)
        temporary = path.with_name(f".atelier-{_machine()}-{os.getpid()}-{secrets.token_hex(6)}.tmp{path.suffix}")
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if not _is_about(error, path):
            raise
        raise _named(error, path) from error


def check_folder(folder: Path) -> None:
    """Raise ``OSError`` where a folder, which need not be there yet, could not be written into: for a start, before
    hours of work whose result would have no place."""
    nearest = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    if nearest.exists() and not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is a file, no folder")
    if nearest.exists() and not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"{nearest} may not be written into")


def _make_folder(folder: Path) -> None:
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _is_about(error: OSError, path: Path) -> bool:
    """Whether an error is one of writing ``path``, not named yet, and not one of a file that its content comes from."""
    if error.filename is None:
        return _CANNOT not in str(error)
    place = Path(os.fsdecode(error.filename))
    return place in path.parents or place.parent == path.parent


def _named(error: OSError, path: Path) -> OSError:
    if error.errno is None:
        return OSError(f"{path} {_CANNOT}: {error}")
    return OSError(
        error.errno, f"{path} cannot be written: {error.strerror}"
    )  # Python picks the subclass by the number


def _numbered(stem: Path, number: int, ending: str) -> Path:
    return stem.with_name(f"{stem.name}_{number:05}_.{ending}")


def _second(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}_{number}{path.suffix}")


def _written_since(path: Path, since: float) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime >= since
    return False


def _claim(targets: Mapping[Path, Path]) -> bool:
    """Give temporary files their names (path to temporary file), or none of them when one is taken by anybody."""
    try:
        return _take(targets, os.link)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    return _take(targets, _put_empty) and _fill(targets)


def _take(targets: Mapping[Path, Path], take: Callable[[Path, Path], None]) -> bool:
    taken: list[Path] = []
    try:
        for path, temporary in targets.items():
            take(temporary, path)
            taken.append(path)
    except FileExistsError:
        return False
    finally:
        if len(taken) < len(targets):
            for path in taken:
                path.unlink(missing_ok=True)
    return True


def _put_empty(_: Path, path: Path) -> None:
    """Where there are no hard links, an empty file takes the name for the moment until :func:`_fill`."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def _fill(targets: Mapping[Path, Path]) -> bool:
    empty = list(targets)
    try:
        for path, temporary in targets.items():
            os.replace(temporary, path)
            empty.remove(path)
    finally:
        for path in empty:
            path.unlink(missing_ok=True)
    return True


def _flush_to_disk(path: Path) -> None:
    """A rename may reach the disk before the content does; after a power cut the name would hold nothing."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _is_left_over(entry: "os.DirEntry[str]") -> bool:
    named = _TEMPORARY.fullmatch(entry.name)
    if named is None and not _FORMER.fullmatch(entry.name):
        return False
    if named is not None and named["machine"] == _machine() and os.name != "nt":
        return not _is_alive(int(named["process"]))
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED


def _is_alive(process: int) -> bool:
    """Whether a process is there (not for Windows, where this signal would end it)."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


@lru_cache(maxsize=1)
def _machine() -> str:
    """Eight digits by which a process number is known as one of ours: of the machine, and of the container on it."""
    with suppress(OSError):
        return _digits(f"{platform.node()} {os.stat('/proc/self/ns/pid').st_ino}")
    return _digits(platform.node())


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
