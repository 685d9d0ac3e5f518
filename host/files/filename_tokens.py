"""``%year%`` and its like in filename prefixes.

ComfyUI's server fills in the time, ``%width%``, ``%height%`` and ``%batch_num%`` when it saves; its page fills in
``%date:yyyy-MM-dd%`` and ``%Node.widget%`` before it sends a workflow. Both are done here for headless runs.
"""

import re
from collections.abc import Callable
from datetime import datetime

from ...core.messages import shown

BATCH_NUMBER = "%batch_num%"

_PAGE_TOKEN = re.compile(r"%([^%]+)%")
_DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyyy|yyy|yy")
_NO_FILE_SIGN = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def fill_prefix(prefix: str, size: tuple[int, int] | None = None, now: datetime | None = None) -> str:
    """A prefix with the time, and a picture's size (height, width), in place of their tokens.

    :data:`BATCH_NUMBER` stays, and so do ``%width%`` and ``%height%`` of what has none.
    """
    now = now or datetime.now()
    values = {
        **({} if size is None else {"height": str(size[0]), "width": str(size[1])}),
        "year": str(now.year),
        **{name: f"{getattr(now, name):02}" for name in ("month", "day", "hour", "minute", "second")},
    }
    return re.sub(rf"%({'|'.join(values)})%", lambda found: values[found[1]], prefix)


def fill_page_tokens(prefix: str, value_of: Callable[[str, str], str], now: datetime | None = None) -> str:
    """A prefix with dates and values of other nodes in place of their tokens, all else as it is.

    Args:
        prefix: may name ``%date:...%`` with d, M, y, h, m, s, and ``%Node.widget%``.
        value_of: node and widget to the widget's value as text; raises ``LookupError`` where there is none.
        now: the time; None is the present.

    Raises ``LookupError`` as ``value_of`` does, and for a date with a dot.
    """
    now = now or datetime.now()

    def fill(found: re.Match[str]) -> str:
        node, dot, widget = found[1].partition(".")
        if not dot and node.startswith("date:"):
            return _DATE_PART.sub(lambda part: _date_part(part[0], now), node.removeprefix("date:"))
        if not (node.strip() and widget.strip()) or "." in widget:
            return found[0]
        if node.startswith("date:"):
            raise LookupError(
                f"{shown(found[0])}: ComfyUI's page takes what stands before a dot for a node; use no dot"
            )
        return _NO_FILE_SIGN.sub("_", value_of(node, widget))

    return _PAGE_TOKEN.sub(fill, prefix)


def page_text(value: object) -> str:
    """A widget's value as the page writes it: 4.0 is 4, True is true."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def _date_part(part: str, now: datetime) -> str:
    if part[0] == "y":
        return {"yy": f"{now.year:04}"[2:], "yyyy": str(now.year)}.get(part, part)
    number = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}[part[0]]
    return str(number).zfill(len(part))
