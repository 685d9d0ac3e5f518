"""What the ``validate_inputs`` of nodes says of presets, lists, prompts and files."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.learn.parts.prompts import check_template
from ..core.messages import listed, shown
from ..core.settings import preset_name, with_entries
from ..host.files import folders
from ..host.files.embeddings import missing_in
from ..host.shared.environment import inside_comfyui


def preset_verdict(preset: str | None, options: Sequence[str]) -> bool | str:
    """What a node's ``validate_inputs`` says of a preset: True, or what is wrong; None (a linked input) passes."""
    if preset is None or (isinstance(preset, str) and preset_name(preset) in options):
        return True
    return choice_verdict("preset", preset, options)


def choice_verdict(name: str, value: str | None, options: Sequence[str]) -> bool | str:
    """What a node's ``validate_inputs`` says of a choice that it takes (ComfyUI then does not check it): True, or what
    is wrong; None (a linked input) passes."""
    if value is None or value in options:
        return True
    return f"{name}: expected one of {listed(options)}, got {shown(value)}"


def template_verdict(template: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of a sentence with ``{}`` for concepts; None (a linked input) passes."""
    try:
        check_template("{}" if template is None else template)
    except ValueError as error:
        return f"template: {error}"
    return True


def list_verdict(name: str, text: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of a list that must not be empty; None (a linked input) passes."""
    return (
        text is None
        or bool(lines_of(text))
        or f"{name} is empty; name at least one entry, one per line or separated by commas"
    )


def settings_verdict(name: str, presets: Mapping[str, Any], preset: str | None, text: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of settings like ``steps=5`` beside a preset, whose own verdict
    :func:`preset_verdict` gives; ``name`` is what messages say has the settings. None (a linked input) passes."""
    if text is None or not isinstance(preset, str) or preset_name(preset) not in presets:
        return True
    try:
        with_entries(name, presets[preset_name(preset)], lines_of(text))
    except ValueError as error:
        return f"settings: {error}"
    return True


def method_verdict(
    methods: Mapping[str, Any], method: str | None, preset: str | None, settings: str | None
) -> bool | str:
    """What a node's ``validate_inputs`` says of a method of a registry and of settings beside one of its presets."""
    verdict = choice_verdict("method", method, list(methods))
    if verdict is not True or method is None:
        return verdict
    return settings_verdict(method, methods[method].presets, preset, settings)


def embeddings_verdict(**texts: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of prompts, by the names of inputs: True, or the first embedding
    that is in no folder. None (a linked input) passes.

    The headless runner checks this itself: it sees the whole workflow, and what a run saves is not missing there.
    ComfyUI still runs the outputs that do not need a refused node, so that a second run finds what the first saved.
    """
    given = {name: text for name, text in texts.items() if isinstance(text, str)} if inside_comfyui() else {}
    return next((f"{name}: {said}" for name, text in given.items() for said in missing_in(text)), True)


def files_verdict(kind: str, names: Sequence[str] | None) -> bool | str:
    """What a node's ``validate_inputs`` says of model files of a kind: True, or the first that is not there. None (a
    linked input) passes. In the headless runner a node of the same run may write them; see :func:`embeddings_verdict`.
    """
    try:
        for name in names if names and inside_comfyui() else ():
            folders.current().find_model(kind, name)
    except (OSError, ValueError) as error:
        return str(error)
    return True


def first_fault(*verdicts: bool | str) -> bool | str:
    """The first verdict that is not True, or True."""
    return next((verdict for verdict in verdicts if verdict is not True), True)


def prompts_of(text: str) -> list[str]:
    """Prompts, one per line, which may hold commas."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def lines_of(text: str) -> list[str]:
    """The entries of a list written one per line or with commas, without empty ones."""
    return [entry for entry in (part.strip() for part in text.replace("\n", ",").split(",")) if entry]
