"""Inputs and outputs of nodes: what they are called, and how they describe themselves to a front end."""

from collections.abc import Iterable
from enum import Enum
from typing import Any, ClassVar


class FolderType(str, Enum):
    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):
    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"


class ControlAfterGenerate(str, Enum):
    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


def given_options(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


class Input:
    """A socket of a node."""

    io_type: ClassVar[str] = "*"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.id, self.optional = id, optional
        self._options = given_options(
            display_name=display_name,
            optional=optional,
            tooltip=tooltip,
            lazy=lazy,
            rawLink=raw_link,
            advanced=advanced,
        )
        self._extra = extra_dict or {}

    def as_dict(self) -> dict[str, Any]:
        """The options as ComfyUI's ``object_info`` spells them."""
        return self._options | given_options(**self._extra)

    def get_io_type(self) -> str:
        """The socket type; several joined by commas where the socket takes several."""
        return self.io_type


class WidgetInput(Input):
    """A socket that also has a widget."""

    def __init__(
        self,
        id: str,
        *,
        default: Any = None,
        socketless: bool | None = None,
        widget_type: str | None = None,
        force_input: bool | None = None,
        **common: Any,
    ) -> None:
        super().__init__(id, **common)
        self.default, self.widget_type = default, widget_type
        self._options |= given_options(
            default=default, socketless=socketless, widgetType=widget_type, forceInput=force_input
        )

    def get_io_type(self) -> str:
        return self.widget_type or self.io_type


class Output:
    """An output of a node."""

    io_type: ClassVar[str] = "*"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        self.id, self.display_name = id, display_name or id
        self.tooltip, self.is_output_list = tooltip, is_output_list

    def get_io_type(self) -> str:
        """The type of what comes out."""
        return self.io_type


class Socket:
    """A type without a widget: ``Input`` and ``Output`` are its sockets, ``Type`` what they carry (for annotations)."""

    Type: ClassVar[Any] = Any
    io_type: ClassVar[str] = "*"
    Input: ClassVar[Any]
    Output: ClassVar[Any]

    def __init_subclass__(cls) -> None:
        base = cls.__dict__.get("Input", Input)
        cls.Input = type("Input", (base,), {"io_type": cls.io_type})
        cls.Output = type("Output", (Output,), {"io_type": cls.io_type})


def Custom(io_type: str) -> type[Socket]:
    """A socket type of one's own."""
    return type(io_type, (Socket,), {"io_type": io_type})


class Boolean(Socket):
    io_type = "BOOLEAN"
    Type = bool

    class Input(WidgetInput):
        def __init__(self, id: str, label_on: str | None = None, label_off: str | None = None, **common: Any) -> None:
            super().__init__(id, **common)
            self._options |= given_options(label_on=label_on, label_off=label_off)


class Int(Socket):
    io_type = "INT"
    Type = int

    class Input(WidgetInput):
        def __init__(
            self,
            id: str,
            min: int | None = None,
            max: int | None = None,
            step: int | None = None,
            control_after_generate: bool | ControlAfterGenerate | None = None,
            display_mode: NumberDisplay | None = None,
            **common: Any,
        ) -> None:
            super().__init__(id, **common)
            self._options |= given_options(
                min=min, max=max, step=step, control_after_generate=control_after_generate, display=display_mode
            )


class Float(Socket):
    io_type = "FLOAT"
    Type = float

    class Input(WidgetInput):
        def __init__(
            self,
            id: str,
            min: float | None = None,
            max: float | None = None,
            step: float | None = None,
            round: float | None = None,
            display_mode: NumberDisplay | None = None,
            **common: Any,
        ) -> None:
            super().__init__(id, **common)
            self._options |= given_options(min=min, max=max, step=step, round=round, display=display_mode)


class String(Socket):
    io_type = "STRING"
    Type = str

    class Input(WidgetInput):
        def __init__(
            self,
            id: str,
            multiline: bool = False,
            placeholder: str | None = None,
            dynamic_prompts: bool | None = None,
            **common: Any,
        ) -> None:
            super().__init__(id, **common)
            self._options |= given_options(multiline=multiline, placeholder=placeholder, dynamicPrompts=dynamic_prompts)


class Combo(Socket):
    io_type = "COMBO"
    Type = str

    class Input(WidgetInput):
        def __init__(
            self,
            id: str,
            options: Iterable[str | int] | type[Enum] = (),
            default: str | int | Enum | None = None,
            control_after_generate: bool | ControlAfterGenerate | None = None,
            upload: UploadType | None = None,
            image_folder: FolderType | None = None,
            **common: Any,
        ) -> None:
            default = default.value if isinstance(default, Enum) else default
            super().__init__(id, default=default, **common)
            self.options = [o.value if isinstance(o, Enum) else o for o in options]
            self._options |= given_options(
                multiselect=False,
                options=self.options,
                control_after_generate=control_after_generate,
                image_folder=image_folder,
            )
            if upload is not None:
                self._options[upload.value] = True


class MultiType(Socket):
    """A socket that takes one of several types (inputs only)."""

    class Input(Input):
        def __init__(self, id: str, types: Iterable[type[Socket]], **common: Any) -> None:
            super().__init__(id, **common)
            self.types = tuple(types)

        def get_io_type(self) -> str:
            return ",".join(dict.fromkeys(t.io_type for t in self.types))


class AnyType(Socket):
    io_type = "*"


class Image(Socket):
    """(B, H, W, 3) float in 0..1."""

    io_type = "IMAGE"


class Mask(Socket):
    """(B, H, W) float in 0..1."""

    io_type = "MASK"


class Latent(Socket):
    """``{"samples": (B, C, h, w)}``, unscaled."""

    io_type = "LATENT"


class Conditioning(Socket):
    """``[[context (B, L, D), {"pooled_output": ...}], ...]``."""

    io_type = "CONDITIONING"


class Model(Socket):
    io_type = "MODEL"


class Clip(Socket):
    io_type = "CLIP"


class Vae(Socket):
    io_type = "VAE"


class ClipVision(Socket):
    io_type = "CLIP_VISION"
