"""Checks of what the pack depends on inside ComfyUI, made once when the pack loads.

ComfyUI promises nothing of its modules ``comfy.*``. Each thing there that the pack calls, replaces or reads is an
:class:`Internal` of :mod:`.items`; no other module may use more (``tests/host/comfy/test_items.py``). A check looks at
attributes, signatures and the names in compiled code: it imports nothing, calls nothing and reads no file.
"""

import importlib.machinery
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any


@dataclass(frozen=True)
class Internal:
    """One thing inside ComfyUI that the pack depends on.

    Attributes:
        place: module and name in it, ``comfy.sd1_clip:SDTokenizer._try_get_embedding``.
        purpose: what the pack does with it, to follow "through which" or "where": "the pack reads prompts".
        nodes: class names of the nodes that do not work without it.
        called: how the pack calls it, as in ``self, tokens, return_pooled=``: names by position, then keywords. None
            where it is not called.
        uses: names and texts that its code must contain, because the pack relies on what it does with them.
    """

    place: str
    purpose: str
    nodes: tuple[str, ...]
    called: str | None = None
    uses: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Module and name as Python writes them."""
        return self.place.replace(":", ".")

    def change(self) -> str | None:
        """What is different in this process from what the pack expects, to follow the path; None if nothing is."""
        try:
            value = _found(*self.place.split(":"))
        except LookupError as error:
            return str(error)
        if value is None:
            return None
        return self._other_call(value) or self._other_code(value)

    def _other_call(self, value: Any) -> str | None:
        if self.called is None:
            return None
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):  # compiled code has none to look at
            return None
        names = [name.strip() for name in self.called.split(",") if name.strip()]
        try:
            signature.bind(
                *(name for name in names if not name.endswith("=")),
                **{name[:-1]: name for name in names if name.endswith("=")},
            )
        except TypeError as error:
            return f"can no longer be called as ({self.called}): {error}"
        return None

    def _other_code(self, value: Any) -> str | None:
        code = getattr(inspect.unwrap(value), "__code__", None)
        if code is None:
            return None
        missing = set(self.uses) - set(_names(code))
        return f"no longer uses {', '.join(sorted(missing))}" if missing else None


def changes(items: Sequence[Internal]) -> list[tuple[Internal, str]]:
    """The items that are not as expected in this process, each with what is different."""
    return [(item, change) for item in items if (change := item.change()) is not None]


def comfyui_version() -> str:
    """``ComfyUI 0.33.0``, or ``this ComfyUI`` where it does not say."""
    version = getattr(sys.modules.get("comfyui_version"), "__version__", None)
    return f"ComfyUI {version}" if version else "this ComfyUI"


def _found(module: str, name: str) -> Any:
    """A module's name; None for a module that is there but not imported. Raises ``LookupError`` if either is gone."""
    if module not in sys.modules:
        if _is_there(module):
            return None
        raise LookupError(f"is gone: there is no {module}")
    value, path = sys.modules[module], module
    for part in name.split("."):
        path = f"{path}.{part}"
        if not hasattr(value, part):
            raise LookupError("is gone" if path == f"{module}.{name}" else f"is gone: there is no {path}")
        value = getattr(value, part)
    return value


def _is_there(module: str) -> bool:
    """Whether a module that is not imported can be: looked for below the nearest package that is."""
    parent, _, name = module.rpartition(".")
    if not parent:
        return False
    if parent not in sys.modules:
        return _is_there(parent)
    folders = getattr(sys.modules[parent], "__path__", None)
    return folders is not None and importlib.machinery.PathFinder.find_spec(module, folders) is not None


def _names(code: CodeType) -> Iterator[str]:
    """Every name and text in compiled code, that of functions inside it too."""
    yield from code.co_names
    yield from code.co_varnames
    yield from _texts(code.co_consts)


def _texts(constants: tuple[Any, ...]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from _texts(constant)
        elif isinstance(constant, CodeType):
            yield from _names(constant)
