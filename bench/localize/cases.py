"""What ``bench localize`` and its sweep measure: the scene, the method and the settings that a request asks for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ...core.backbone import Backbone
from ...core.localize.localizer import Localizer
from ...core.localize.registry import method_and_preset
from ...core.types import Concepts
from ...host.jobs.blocks import preset_changes, read_by
from ..cases import Case, make_case
from ..drawing import SIDE
from ..harness import Request

METHOD, PRESET = "conceptexpress", "small"


def case_of_options(request: Request, index: int) -> Case:
    """The scene that a request asks for; objects and places do not depend on the hand or the caption."""
    options = request.options
    changes: dict[str, Any] = {flag: float(options.get(flag, False)) for flag in ("touching", "alike")}
    if "hand" in options:
        changes["hands"] = (options["hand"],)
    if "caption" in options:
        changes["complete"] = float(options["caption"] == "complete")
    return make_case(request.split, index, request.seed, (SIDE, SIDE), options.get("unseen", False), **changes)


def localizer_of(options: Mapping[str, Any]) -> Localizer:
    """The method that a request asks for."""
    return method_and_preset(options.get("method", METHOD), options.get("preset", PRESET))[0]


def settings_of(options: Mapping[str, Any], count: int, backbone: Backbone | None = None) -> Any:
    """The method's settings that a request asks for, for a scene of so many objects; where they are a model's, with the
    values that its family has in the preset, as nodes do."""
    localizer, preset = method_and_preset(options.get("method", METHOD), options.get("preset", PRESET))
    known = preset_changes(backbone, localizer.name, preset) if backbone is not None else {}
    known |= {"count": count} if options.get("known_count") else {}
    changes = {name: tuple(v) if isinstance(v, list) else v for name, v in options.get("settings", {}).items()}
    return replace(localizer.preset(preset), **known | changes)


def read_as(backbone: Backbone, settings: Any) -> Any:
    """Settings by which a transformer is read as its family says, as nodes do, unless they name layers."""
    return settings if settings.layers is not None else read_by(backbone, settings)


def localized(backbone: Backbone, case: Case, localizer: Localizer, settings: Any) -> Concepts:
    """The concepts that a method finds, given the objects' true names if it needs words; none where it raises."""
    words = case.names if "words" in localizer.needs else ()
    try:
        return localizer.localize(backbone, case.picture, read_as(backbone, settings), words=words, seed=case.seed)
    except ValueError as error:
        size = (case.picture.shape[-2], case.picture.shape[-1])
        none = torch.zeros(0, size[0] // backbone.latent_downscale, size[1] // backbone.latent_downscale)
        return Concepts(none.bool(), none, (), torch.zeros(0), size, (str(error),))
