"""Save and Load Ingredients."""

from ...core.explain import bank as core_bank
from ...core.explain.bank_files import bank_tensors, load_bank
from ...core.messages import counted
from ...host.jobs.explain.ingredients import valid_for
from ...host.schema import io, ui
from ..model_files import LoadsModelFile, SavesModelFile, name_input, saved_text
from ..sockets import CATEGORY, ConceptBank, file_input


class SaveIngredients(SavesModelFile):
    """Ingredients to a file."""

    KIND = "ingredients"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveIngredients",
            display_name="Save Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Writes ingredients, with their names and a fingerprint of the model and site that they "
                "were found in, to the folder models/ingredients. A file of this name that existed before "
                "the run is replaced; if the file was written during the run, the next free name is used."
            ),
            search_aliases=["export concepts", "save concept bank", "save SAE"],
            is_output_node=True,
            inputs=[
                ConceptBank.Input("bank", tooltip="From Find Ingredients or Show Ingredients."),
                name_input("atelier/ingredients"),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file, for Load Ingredients.")],
        )

    @classmethod
    def execute(cls, bank: core_bank.ConceptBank, name: str) -> io.NodeOutput:
        saved = cls.write(name, bank_tensors(bank))
        return io.NodeOutput(saved.name, ui=saved_text(f"{saved.path}: {counted(len(bank), 'ingredient')}", saved))


class LoadIngredients(LoadsModelFile):
    """Ingredients out of a file."""

    KIND = "ingredients"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadIngredients",
            display_name="Load Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Loads a file of Save Ingredients. Nodes refuse the ingredients for activations of another model, "
                "layer or noise."
            ),
            search_aliases=["import concepts", "load concept bank", "load SAE"],
            inputs=[file_input("ingredients", "atelier/ingredients")],
            outputs=[ConceptBank.Output(display_name="CONCEPT_BANK", tooltip="The ingredients.")],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        bank = load_bank(cls.path_of(name))
        return io.NodeOutput(bank, ui=ui.PreviewText(valid_for(bank)))
