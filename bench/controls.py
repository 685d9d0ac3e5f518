"""Controls: the same bench on something spoiled. Each must fall to chance, or the bench is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .harness import Bench, Request, run
from .summary import aligned


@dataclass(frozen=True)
class Control:
    """One way to spoil a bench.

    Attributes:
        name: as in JSON.
        says: what is spoiled, for people.
        figure: a summary to the figure that must fall.
        at_most: what chance allows it, with room for few cases.
        options: added to the request's own.
        untrained: take the model at random weights.
    """

    name: str
    says: str
    figure: Callable[[Mapping[str, Any]], float]
    at_most: float
    options: Mapping[str, Any] | None = None
    untrained: bool = False

    def request(self, plain: Request, cases: int) -> Request:
        """The request with this spoiled."""
        options = {**plain.options, **(self.options or {})}
        return replace(plain, cases=cases, options=options, untrained=plain.untrained or self.untrained)


def run_controls(
    bench: Bench, controls: Sequence[Control], request: Request, cases: int, **how: Any
) -> dict[str, dict[str, Any]]:
    """Run every control on so many cases; ``how`` is handed to :func:`~.harness.run`.

    Returns:
        Control to ``figure``, ``at_most``, whether it ``falls``, and its whole ``summary``.
    """
    found = {}
    for control in controls:
        summary = run(bench, control.request(request, cases), **how)["summary"]
        figure = control.figure(summary)
        found[control.name] = {
            "says": control.says,
            "cases": cases,
            "figure": round(figure, 4),
            "at_most": control.at_most,
            "falls": figure <= control.at_most,
            "summary": summary,
        }
    return found


def controls_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a control."""
    rows = [
        [control["says"], f"{control['figure']:.3f}", f"<= {control['at_most']:g}", _verdict(control["falls"])]
        for control in found.values()
    ]
    return f"controls\n{aligned([['', 'figure', 'chance', ''], *rows])}\n"


def _verdict(falls: bool) -> str:
    return "falls, as it must" if falls else "DOES NOT FALL: distrust this bench"
