"""Schema, node base class and node result of the stand-in."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ....core.messages import listed, shown
from .sockets import Input, Output


class Hidden(str, Enum):
    """What the host gives a node that asks for it."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


@dataclass(frozen=True)
class HiddenHolder:
    """The values behind ``cls.hidden``; None where a node did not ask."""

    unique_id: str | None = None
    prompt: Any = None
    extra_pnginfo: Any = None
    dynprompt: Any = None
    auth_token_comfy_org: str | None = None
    api_key_comfy_org: str | None = None


@dataclass
class Schema:
    """What a node is: ids, sockets and flags, with ComfyUI's field names."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def __post_init__(self) -> None:
        self.inputs, self.outputs = list(self.inputs or ()), list(self.outputs or ())
        self.hidden = list(self.hidden or ())

    def validate(self) -> None:
        """Raise ``ValueError`` when two inputs, or two outputs, share an id."""
        for what, ids in (("Input", [i.id for i in self.inputs]), ("Output", [o.id for o in self.outputs])):
            twice = [str(name) for name, count in Counter(ids).items() if count > 1]
            if twice:
                raise ValueError(f"{what} ids of {self.node_id} must be unique, {listed(twice)} occurs twice")

    def finalize(self) -> None:
        """Name unnamed outputs; let output nodes see the prompt, which saved pictures carry."""
        if self.is_output_node:
            self.hidden = list(dict.fromkeys([*self.hidden, Hidden.prompt, Hidden.extra_pnginfo]))
        for position, output in enumerate(self.outputs):
            if output.id is None:
                output.id = f"_{position}_{output.io_type}_"

    def node_info(self) -> dict[str, Any]:
        """What ``object_info`` says of the node."""
        sockets: dict[str, dict[str, Any]] = {"required": {}}
        for entry in self.inputs:
            options = {name: value for name, value in entry.as_dict().items() if name != "optional"}
            kind = "optional" if entry.optional else "required"
            sockets.setdefault(kind, {})[entry.id] = (entry.get_io_type(), options)
        if self.hidden:
            sockets["hidden"] = {hidden.name: (hidden.value,) for hidden in self.hidden}
        return {
            "input": sockets,
            "input_order": {kind: list(names) for kind, names in sockets.items()},
            "is_input_list": self.is_input_list,
            "output": [o.io_type for o in self.outputs],
            "output_is_list": [o.is_output_list for o in self.outputs],
            "output_name": [o.display_name or o.io_type for o in self.outputs],
            "output_tooltips": [o.tooltip for o in self.outputs],
            "name": self.node_id,
            "display_name": self.display_name,
            "description": self.description,
            "category": self.category,
            "output_node": self.is_output_node,
            "deprecated": self.is_deprecated,
            "experimental": self.is_experimental,
            "dev_only": self.is_dev_only,
            "api_node": self.is_api_node,
            "search_aliases": self.search_aliases or None,
            "essentials_category": self.essentials_category,
            "has_intermediate_output": self.has_intermediate_output,
        }


class UIOutput(ABC):
    """Something a front end shows under a node."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Key to list of entries."""


class NodeOutput:
    """What a node returns: its outputs in order, what to show, or why nothing downstream should run."""

    def __init__(
        self,
        *args: Any,
        ui: UIOutput | Mapping[str, Any] | None = None,
        expand: dict[str, Any] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args, self.ui, self.expand, self.block_execution = args, ui, expand, block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class _Locked(type):
    """Metaclass of the class a node runs as: state on it would outlive the run, so there can be none."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"cannot set {shown(name)} on the node class {cls.__name__}: nodes keep no state")


class ComfyNode:
    """Base class of nodes; everything is a class method, nothing is ever instantiated."""

    hidden: HiddenHolder = HiddenHolder()

    @classmethod
    def define_schema(cls) -> Schema:
        """The node's schema."""
        raise NotImplementedError(f"{cls.__name__} does not define define_schema")

    @classmethod
    def execute(cls, *args: Any, **kwargs: Any) -> NodeOutput:
        """The node's work."""
        raise NotImplementedError(f"{cls.__name__} does not define execute")

    @classmethod
    def validate_inputs(cls, *args: Any, **kwargs: Any) -> bool | str:
        """Optional check of the inputs named in the signature: True or what is wrong."""
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, *args: Any, **kwargs: Any) -> Any:
        """Optional value that changes when the node has to run again although its inputs are the same."""
        raise NotImplementedError

    @classmethod
    def GET_BASE_CLASS(cls) -> type[ComfyNode]:
        return ComfyNode

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The finished and checked schema."""
        schema = cls.define_schema()
        schema.finalize()
        schema.validate()
        return schema

    @classmethod
    def GET_NODE_INFO_V1(cls) -> dict[str, Any]:
        """What ``object_info`` says of the node."""
        return cls.GET_SCHEMA().node_info()

    @classmethod
    def PREPARE_CLASS_CLONE(cls, hidden_inputs: Mapping[Hidden, Any]) -> type[ComfyNode]:
        """The locked clone that runs, with the hidden values (:class:`Hidden` to value) in place."""
        holder = HiddenHolder(**{hidden.name: value for hidden, value in hidden_inputs.items()})
        clone: Any = _Locked(cls.__name__, (cls,), {"hidden": holder, "__module__": cls.__module__})
        return clone


def overrides(node: type[ComfyNode], method: str) -> bool:
    """Whether a node brings its own ``validate_inputs`` or ``fingerprint_inputs``."""
    return inspect.getattr_static(node, method) is not inspect.getattr_static(ComfyNode, method)
