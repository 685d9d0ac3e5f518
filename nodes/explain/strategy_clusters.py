"""Find Strategy Clusters."""

from torch import Tensor

from ...core.explain import scores as core_scores
from ...core.explain.strategies import group_by_strategy
from ...host.jobs.explain.strategies import group_names, strategies_report, strategies_sheet
from ...host.jobs.recognise.subjects import names_for
from ...host.schema import io
from ..picture_names import given_names
from ..sockets import CATEGORY, ConceptScores, page_under, picture_batch, seed_input


class FindStrategyClusters(io.ComfyNode):
    """Pictures in groups by which ingredients matter in them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierFindStrategyClusters",
            display_name="Find Strategy Clusters",
            category=f"{CATEGORY}/explain",
            description=(
                "Groups pictures by which ingredients matter in them. Pictures of one group are judged, or drawn, for "
                "the same reasons. The node says what these are, and lists the pictures, so that a folder can be split."
            ),
            search_aliases=["holistic", "cluster pictures", "group pictures", "split a training set", "strategies"],
            is_output_node=True,
            inputs=[
                ConceptScores.Input(
                    "scores",
                    tooltip="From Ingredient Importance, whose most must be as many as there are pictures. Scores of "
                    "Show Ingredients group pictures by what they show instead.",
                ),
                io.Image.Input("pictures", tooltip="The pictures that were scored, in the same order."),
                io.Int.Input(
                    "groups",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="How many groups. 0 takes the number from 1 to 8 that sets pictures apart best.",
                ),
                io.Int.Input("each", default=8, min=1, max=64, tooltip="Pictures to show of each group."),
                io.Int.Input("group", default=1, min=1, max=64, tooltip="The group whose pictures PICTURES gives."),
                seed_input("Random seed of the grouping."),
                io.String.Input(
                    "names",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="Names of the pictures, one per line, as Load Picture Folder gives them.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="SHEET", tooltip="A row for each group, its most typical pictures first."),
                io.Image.Output(display_name="PICTURES", tooltip="All pictures of the group that you chose."),
                io.String.Output(
                    display_name="GROUPS", tooltip="A line for each group: the names of its pictures, or their numbers."
                ),
                io.String.Output(display_name="REPORT", tooltip="What matters in each group, a line each."),
            ],
        )

    @classmethod
    def execute(
        cls,
        scores: core_scores.PictureScores,
        pictures: Tensor,
        groups: int,
        each: int,
        group: int,
        seed: int,
        names: str = "",
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        scores.check_pictures(len(given))
        found = group_by_strategy(scores, groups, seed % 2**31)
        called = given_names(names) or scores.pictures
        listed = group_names(found, called)
        sheet = strategies_sheet(found, given, each, names_for(len(given), called))
        said = strategies_report(found)
        chosen = given[sorted(found.members(group - 1))].movedim(1, -1)
        return io.NodeOutput(sheet, chosen, listed, said, ui=page_under(cls, sheet, said))
