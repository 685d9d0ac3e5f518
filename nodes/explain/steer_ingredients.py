"""Steer Ingredients."""

from typing import Any, TypeVar

from torch import Tensor

from ...core.backbone import Backbone
from ...core.erase.guards.guard import GuardSettings
from ...core.explain import activations as core_activations
from ...core.explain import bank as core_bank
from ...core.explain.attenuation import Posteriors, posteriors_of, posteriors_recorded
from ...core.explain.steering import HOWS, MOST_CHANGE, Steering
from ...core.messages import listed, shown
from ...host.adapters import backbone_of, with_guard
from ...host.jobs.explain.ingredients import valid_for
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    Activations,
    ConceptBank,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    picture_batch,
    seed_input,
    span_inputs,
    text_under,
)

T = TypeVar("T")


class SteerIngredients(io.ComfyNode):
    """A model in which ingredients are replaced, attenuated or added while it draws."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSteerIngredients",
            display_name="Steer Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Takes ingredients out of pictures, or puts them in, while any sampler draws them, without training "
                "and without a change of the weights. replace finds where an ingredient is about to be drawn and draws "
                "something else there. At strength 0 the model is exactly as it was."
            ),
            search_aliases=["PER", "SAeUron", "APP", "steering", "SAE", "remove concept", "unlearn", "attenuate"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled."),
                io.Clip.Input("clip", tooltip="The text encoder of that model."),
                ConceptBank.Input(
                    "bank",
                    tooltip="Ingredients that were found in activations of that model, from Find Ingredients, Show "
                    "Ingredients or Load Ingredients.",
                ),
                io.String.Input(
                    "ingredients", default="1", tooltip="Names or numbers of ingredients, separated by commas."
                ),
                io.Combo.Input(
                    "how",
                    options=list(HOWS),
                    default="replace",
                    tooltip="replace: where the ingredient is found, the prompt in instead is drawn "
                    "(after PER).\nattenuate: the ingredient's strength in the layer falls by the "
                    "probability that it means the concept (APP); connect pictures with and "
                    "without the concept. On the lab model this changed next to nothing.\nadd: an "
                    "experiment that moves the layer's activations along the ingredient; it may "
                    "not draw it.",
                ),
                io.String.Input(
                    "instead",
                    default="",
                    tooltip="With replace: a prompt without the ingredient. Empty lets the model draw anything there.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Factor on what is done. 0 changes nothing.",
                ),
                seed_input("Random seed of the noise with which pictures are read."),
                Activations.Input(
                    "shows",
                    optional=True,
                    tooltip="With attenuate, in place of shows_pictures: activations of pictures that show the "
                    "concept, recorded as the ingredients' were. They serve every step, whatever its noise.",
                ),
                Activations.Input(
                    "lacks", optional=True, tooltip="With attenuate: activations of pictures without the concept."
                ),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="With replace: share of an ingredient's full strength from which a cell shows it.",
                ),
                *span_inputs("the node acts"),
                io.Image.Input(
                    "shows_pictures",
                    optional=True,
                    tooltip="With attenuate: pictures that show the concept, twenty or more. The model reads them at "
                    "four noise levels; connect its VAE, too.",
                ),
                io.Image.Input(
                    "lacks_pictures", optional=True, tooltip="With attenuate: pictures without the concept, as many."
                ),
                io.Vae.Input("vae", optional=True, tooltip="The autoencoder of that model, to read pictures."),
                io.Float.Input(
                    "most_change",
                    default=MOST_CHANGE,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="With attenuate and add: no position of the layer changes by more than this share of its "
                    "own length. Large changes draw artefacts.",
                ),
            ],
            outputs=[io.Model.Output(display_name="MODEL", tooltip="Connect this MODEL to any sampler.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        bank: core_bank.ConceptBank,
        ingredients: str,
        how: str,
        instead: str,
        strength: float,
        seed: int,
        shows: core_activations.Activations | None = None,
        lacks: core_activations.Activations | None = None,
        threshold: float = 0.5,
        start: float = 0.0,
        end: float = 1.0,
        shows_pictures: Tensor | None = None,
        lacks_pictures: Tensor | None = None,
        vae: Any = None,
        most_change: float = MOST_CHANGE,
    ) -> io.NodeOutput:
        chosen = tuple(dict.fromkeys(_index(bank, name) for name in lines_of(ingredients)))
        settings = GuardSettings(start, end)
        if not strength:
            return io.NodeOutput(model, ui=text_under("Strength 0: the model is as it was."))
        backbone = backbone_of(model, clip, vae)
        empty = backbone.encode_text([""])
        other = backbone.encode_text([instead]) if instead.strip() else empty
        posteriors = None
        if how == "attenuate":
            posteriors = _posteriors(
                backbone,
                bank,
                _pair(shows_pictures=shows_pictures, lacks_pictures=lacks_pictures),
                _pair(shows=shows, lacks=lacks),
                seed,
                cls.hidden.unique_id,
            )
        steering = Steering(
            bank,
            chosen,
            how,  # type: ignore[arg-type]
            empty,
            other,
            strength,
            threshold,
            settings,
            posteriors,
            seed,
            most_change,
            backbone.encode_text([bank.origin.text]),
        )
        names = listed([bank.names[index] for index in chosen])
        cost = {"replace": "one to three more passes of the model a step"}.get(how, "no more passes")
        said = f"{how}: {names}, at strength {strength:g}. Cost: {cost}. {valid_for(bank)}"
        return io.NodeOutput(with_guard(model, steering), ui=text_under(said))

    @classmethod
    def validate_inputs(cls, ingredients: str | None = None, instead: str | None = None) -> bool | str:
        return first_fault(list_verdict("ingredients", ingredients), embeddings_verdict(instead=instead))


def _index(bank: core_bank.ConceptBank, name: str) -> int:
    if "+" in name and name not in bank.names:
        raise ValueError(f"separate ingredients by commas here, got {shown(name)}")
    return bank.index(name)


def _posteriors(
    backbone: Backbone,
    bank: core_bank.ConceptBank,
    pictures: tuple[Tensor, Tensor] | None,
    recorded: tuple[core_activations.Activations, core_activations.Activations] | None,
    seed: int,
    node_id: str | None,
) -> Posteriors | None:
    """What attenuation goes by; None where nothing is connected."""
    if pictures is not None and recorded is not None:
        raise ValueError("connect shows_pictures and lacks_pictures, or shows and lacks, not all four")
    if pictures is not None:
        with_it, without = map(picture_batch, pictures)
        return posteriors_of(backbone, bank, with_it, without, seed=seed, on_step=start_progress(node_id))
    return None if recorded is None else posteriors_recorded(bank, *recorded)


def _pair(**given: T | None) -> tuple[T, T] | None:
    """Both of two inputs, None for neither. Raises ``ValueError`` for one alone."""
    there = [one for one in given.values() if one is not None]
    if len(there) == 1:
        lacking = next(name for name, one in given.items() if one is None)
        raise ValueError(f"attenuate needs {' and '.join(given)}, and {lacking} is not connected")
    return (there[0], there[1]) if there else None
