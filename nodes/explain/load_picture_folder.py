"""Load Picture Folder."""

from typing import Any

from ...core.messages import counted, first_of
from ...host.files import folders, picture_folders
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import CATEGORY


class LoadPictureFolder(io.ComfyNode):
    """All pictures of a folder as one batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadPictureFolder",
            display_name="Load Picture Folder",
            category=f"{CATEGORY}/explain",
            description=(
                "Loads all pictures of a folder, whatever their sizes, as one batch of squares, for nodes that look at "
                "many pictures together."
            ),
            search_aliases=["load images", "directory", "dataset", "batch", "folder of images"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.String.Input(
                    "folder",
                    default="pictures",
                    tooltip="Name of a folder or of a single picture in the input folder. run --over fills in "
                    "one picture after another.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=32,
                    max=2048,
                    step=8,
                    tooltip="Pixels a side of the squares; 500 pictures of 512 pixels take 1.6 GB. Take 128 for the "
                    "lab model.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(picture_folders.FITS),
                    default="crop",
                    advanced=True,
                    tooltip="What happens to pictures that are not square: crop takes the middle, pad puts grey beside "
                    "them, squeeze changes their proportions.",
                ),
                io.Int.Input(
                    "limit",
                    default=500,
                    min=1,
                    max=100_000,
                    advanced=True,
                    tooltip="Load at most this many pictures, the first ones by name.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="PICTURES", tooltip="One batch of squares."),
                io.String.Output(display_name="NAMES", tooltip="The files' names, one per line."),
                io.String.Output(
                    display_name="CAPTIONS",
                    tooltip="The caption of each picture, one per line, from the text file beside it (cat.txt for "
                    "cat.png). The line is empty where there is no file.",
                ),
            ],
        )

    @classmethod
    def execute(cls, folder: str, size: int, fit: str, limit: int) -> io.NodeOutput:
        files, progress = picture_folders.list_pictures(folders.current(), folder), start_progress(cls.hidden.unique_id)
        pictures, read, problems = picture_folders.read_squares(files[:limit], size, fit, progress)  # type: ignore[arg-type]
        left_out = [f"{len(problems)} left out:"] if problems else []
        said = "\n".join([f"{len(read)} of {counted(len(files), 'picture')}", *left_out, *first_of(problems)])
        names = "\n".join(file.name for file in read)
        captions = "\n".join(picture_folders.captions_of(read))
        return io.NodeOutput(pictures, names, captions, ui=ui.PreviewText(said))

    @classmethod
    def validate_inputs(cls, folder: str | None) -> bool | str:
        if folder is None:
            return True
        try:
            picture_folders.list_pictures(folders.current(), folder)
        except (OSError, ValueError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, **_: Any) -> str:
        return picture_folders.fingerprint(folders.current(), folder)
