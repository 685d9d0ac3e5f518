"""Save Captions."""

from ...host.files import caption_files, folders
from ...host.jobs.data.caption_reports import WRITTEN_COLUMNS, table, written_report, written_rows
from ...host.jobs.recognise.captions import caption_lines
from ...host.schema import io, ui
from ..picture_names import given_names
from ..sockets import CATEGORY, choice_verdict, text_input


class SaveCaptions(io.ComfyNode):
    """Captions to text files, one for each picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveCaptions",
            display_name="Save Captions",
            category=f"{CATEGORY}/data",
            description=(
                "Writes each caption to a text file with the name of its picture, as trainers of LoRAs read them "
                "(cat.txt for cat.png). Nothing is overwritten unless you say so, and then each former file is kept. "
                "For an empty caption no file is made."
            ),
            search_aliases=["write captions", "export captions", "txt", "tags", "LoRA dataset", "kohya", "sidecar"],
            is_output_node=True,
            inputs=[
                text_input(
                    "captions",
                    "",
                    "A caption for each picture, one per line: CAPTIONS of Complete Captions, Correct and Propagate or "
                    "Load Picture Folder.",
                ),
                text_input("names", "", "The pictures' file names, one per line: NAMES of Load Picture Folder."),
                io.Combo.Input(
                    "place",
                    options=list(caption_files.PLACES),
                    default="output folder",
                    tooltip="Where the files go. output folder: into a folder there, so that you can look at them "
                    "first. beside the pictures: into the folder of the input folder that the pictures come from.",
                ),
                io.String.Input(
                    "folder",
                    default="captions",
                    tooltip="Name of a folder in the output folder, which is made if it is not there; or, beside the "
                    "pictures, the folder that Load Picture Folder reads.",
                ),
                io.Combo.Input(
                    "existing",
                    options=list(caption_files.RULES),
                    default="stop",
                    tooltip="What to do if some text files have other captions already. stop: writes nothing and says "
                    "so. keep: leaves these files and writes the others. replace: writes all, and keeps each former "
                    "file as cat.txt.bak.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="TABLE",
                    tooltip="CSV, a row for each picture: what happened, the file, the caption before and now, and the "
                    "former file's name.",
                ),
                io.String.Output(display_name="REPORT", tooltip="How many captions were written, where, and which."),
            ],
        )

    @classmethod
    def execute(cls, captions: str, names: str, place: str, folder: str, existing: str) -> io.NodeOutput:
        called = given_names(names)
        if not called:
            raise ValueError("names is empty; connect NAMES of Load Picture Folder, so that each file gets its name")
        texts = caption_lines(captions, len(called))
        paths = caption_files.text_files(folders.current(), place, folder, called)  # type: ignore[arg-type]
        written = caption_files.write(caption_files.plan(paths, called, texts, existing))  # type: ignore[arg-type]
        report = written_report(written)
        return io.NodeOutput(table(WRITTEN_COLUMNS, written_rows(written)), report, ui=ui.PreviewText(report))

    @classmethod
    def validate_inputs(cls, place: str | None = None, folder: str | None = None) -> bool | str:
        verdict = choice_verdict("place", place, caption_files.PLACES)
        if verdict is not True:
            return verdict
        if folder is None or place is None or place == "output folder":
            return folders.name_verdict(folder, "folder")
        try:
            folders.current().find_folder(folder)
        except (OSError, ValueError) as error:
            return str(error)
        return True
