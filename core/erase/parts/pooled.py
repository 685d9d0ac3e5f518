"""The same edit of weights that read the pooled text, where a transformer has them (FLUX.1, Stable Diffusion 3).

A pooled text is one vector, so there is no choice of positions, and every method's edit of it is UCE's ridge solution
(arXiv 2308.14761), as its authors edit FLUX: the mean over the templates of each concept is read as its anchor's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...types import Change
from .closed_form import outer_sum, solve
from .projections import changes
from .settings import EraseSettings, RidgeSettings
from .subject_places import fill
from .task import EraseTask


def pooled_changes(task: EraseTask[Any]) -> Mapping[str, Change]:
    """The change of every weight that reads the pooled text, by name; nothing for a model without one."""
    weights = [weight for weight in task.backbone.key_value_weights() if weight.role == "pooled"]
    if not weights:
        return {}
    texts = [text for pair in task.pairs for text in pair]
    vectors = {text: _vectors(task, text) for text in dict.fromkeys((*texts, *task.preserve))}
    erased, anchors = (torch.cat([vectors[pair[side]] for pair in task.pairs]) for side in (0, 1))
    kept = torch.cat([vectors[text] for text in task.preserve] or [erased[:0]])
    edit = solve(erased, anchors, outer_sum(kept), _scales(task.settings))
    return changes([weight for weight in weights if weight.weight.shape[1] == edit.width], edit)


def _vectors(task: EraseTask[Any], text: str) -> Tensor:
    """(1, D) float64, or (templates, D) where they are kept apart."""
    settings = task.settings
    sentences: Sequence[str] = [fill(template, text) for template in settings.templates]
    rows = torch.cat([task.backbone.encode_pooled([one], task.placeholders) for one in sentences]).cpu().double()
    return rows if settings.combine == "separate" else rows.mean(0, keepdim=True)


def _scales(settings: EraseSettings) -> RidgeSettings:
    """Those of a method that has them, or the paper's."""
    names = ("damping", "erase_scale", "preserve_scale")
    return RidgeSettings(**{name: getattr(settings, name) for name in names if hasattr(settings, name)})
