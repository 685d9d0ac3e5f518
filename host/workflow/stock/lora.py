"""LoRA files onto models, as weight patches."""

from ....core.files import PICKLED
from ....core.messages import listed, shown
from ...files import folders
from ...headless.lora_files import LoraFile, read_lora
from ...schema.standin import io, ui
from ...shared.handles import ClipHandle, ModelHandle


class LoraLoader(io.ComfyNode):
    """A LoRA onto a model. Parts for the text encoder are refused, unless their strength is 0."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraLoader",
            display_name="Load LoRA (Model and CLIP)",
            category="loaders",
            inputs=[
                io.Model.Input("model"),
                io.Clip.Input("clip"),
                *_widgets(),
                io.Float.Input("strength_clip", default=1.0, min=-100.0, max=100.0, step=0.01),
            ],
            outputs=[io.Model.Output(display_name="MODEL"), io.Clip.Output(display_name="CLIP")],
        )

    @classmethod
    def execute(
        cls, model: ModelHandle, clip: ClipHandle, lora_name: str, strength_model: float, strength_clip: float
    ) -> io.NodeOutput:
        lora = _read(lora_name, model)
        if lora.text and strength_clip != 0:
            raise ValueError(
                f"{lora_name} also changes the text encoder, which works in ComfyUI only; "
                "set strength_clip to 0 to leave that part out"
            )
        return io.NodeOutput(model.with_patch(lora.patch(strength_model)), clip, ui=_notes(lora, lora_name))

    @classmethod
    def validate_inputs(cls, lora_name: str | None) -> bool | str:
        return _verdict(lora_name)

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None) -> str:
        return _mark(lora_name)


class LoraLoaderModelOnly(io.ComfyNode):
    """A LoRA onto a model; its parts for the text encoder are left out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoraLoaderModelOnly",
            display_name="Load LoRA",
            category="loaders",
            inputs=[io.Model.Input("model"), *_widgets()],
            outputs=[io.Model.Output(display_name="MODEL")],
        )

    @classmethod
    def execute(cls, model: ModelHandle, lora_name: str, strength_model: float) -> io.NodeOutput:
        lora = _read(lora_name, model)
        return io.NodeOutput(model.with_patch(lora.patch(strength_model)), ui=_notes(lora, lora_name))

    @classmethod
    def validate_inputs(cls, lora_name: str | None) -> bool | str:
        return _verdict(lora_name)

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None) -> str:
        return _mark(lora_name)


def _widgets() -> list[io.Input]:
    return [
        io.Combo.Input("lora_name", folders.current().list_models("loras")),
        io.Float.Input("strength_model", default=1.0, min=-100.0, max=100.0, step=0.01),
    ]


def _read(lora_name: str, model: ModelHandle) -> LoraFile:
    return read_lora(folders.current().find_model("loras", lora_name), model.unet, model.family)


def _verdict(lora_name: str | None) -> bool | str:
    """True for a file that is there, whichever way its folders are written; else what is wrong."""
    if lora_name is None:
        return True
    if lora_name.lower().endswith(PICKLED):
        return f"{shown(lora_name)} is a pickled file, which can run code when it is read: convert it to .safetensors"
    try:
        folders.current().find_model("loras", lora_name)
    except (FileNotFoundError, folders.BadNameError) as error:
        known = listed(folders.current().list_models("loras")) or "none"
        return f"{error}; there are {known}"
    return True


def _notes(lora: LoraFile, lora_name: str) -> ui.PreviewText | None:
    """What a file holds that did nothing here."""
    notes = []
    if lora.embeddings:
        notes.append(
            f"{lora_name} also brings embeddings ({listed(lora.embeddings)}), which are left out: they are read from "
            "the folder of embeddings only, so put a copy of the file there"
        )
    if not (lora.factors or lora.replaced):
        notes.append(f"{lora_name} changes the text encoder alone, so the model is as it was")
    return ui.PreviewText("; ".join(notes)) if notes else None


def _mark(lora_name: str | None) -> str:
    """Changes when the file does."""
    if lora_name is None:
        return ""
    stat = folders.current().find_model("loras", lora_name).stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"
