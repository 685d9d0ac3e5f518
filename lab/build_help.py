"""Write the help page of every node, ``web/docs/<node id>.md``, from its schema (developers; run after a node changes).

python -m concept_atelier.lab.build_help
"""

from pathlib import Path

from ..host.schema import io
from ..nodes import NODES

FOLDER = Path(__file__).parents[1] / "web" / "docs"


def page(node: type[io.ComfyNode]) -> str:
    """A node's help: what it does, its inputs and outputs."""
    schema = node.GET_SCHEMA()
    lines = [f"# {schema.display_name}", "", schema.description, ""]
    if schema.inputs:
        rows = [f"| `{entry.id}` | {entry.get_io_type()} | {entry.as_dict()['tooltip']} |" for entry in schema.inputs]
        lines += ["## Inputs", "", "| input | type | |", "|---|---|---|", *rows, ""]
    rows = [f"| {out.display_name} | {out.get_io_type()} | {out.tooltip or ''} |" for out in schema.outputs]
    return "\n".join([*lines, "## Outputs", "", "| output | type | |", "|---|---|---|", *rows, ""])


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for node in NODES:
        (FOLDER / f"{node.GET_SCHEMA().node_id}.md").write_text(page(node), encoding="utf-8")


if __name__ == "__main__":
    main()
