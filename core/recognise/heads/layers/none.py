"""No concept layer: the linear head reads the features as they are."""

import torch

from ....settings import Settings
from ..features import HeadFeatures
from ..layer import ConceptLayer, ConceptValues, LayerTask, Parameters


def _fit(task: LayerTask, settings: Settings, generator: torch.Generator) -> Parameters:
    return {}


def _apply(features: HeadFeatures, parameters: Parameters) -> ConceptValues:
    return ConceptValues(features.values, features.maps)


LAYER = ConceptLayer("none", "None", "The head reads the features as they are.", Settings(), _fit, _apply)
