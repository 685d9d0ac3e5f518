"""The local concept layer of SL-CBM (*SL-CBM: Enhancing Concept Bottleneck Models with Semantic Locality*, AAAI 2026).

States of positions t become concept maps S = t W, which are pooled by cross-attention with one head; its query is how
similar the whole picture is to each word:

    a = softmax_positions((q W_q) (LN(S) W_k)^T / sqrt(K)) ,   c = sum_p a_p LN(S_p)

The loss is cross-entropy of the class, plus the distance of sigmoid(c) from which concepts the picture has, plus the
entropy of softmax(S_p) over the concepts at each position, so that a position shows few. Labels of concepts are those
that the picture is more similar to than most pictures. The weights of the terms are ours; the release has others, with
its terms summed otherwise.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, layer_norm

from ....settings import Settings, setting
from ..features import HeadFeatures, Scaling
from ..layer import ConceptLayer, ConceptValues, LayerTask, Parameters

PRESENT = 0.5
"""A picture has a concept from so many deviations above the mean similarity."""
RIDGE = 0.1


@dataclass(frozen=True)
class LocalSettings(Settings):
    """Settings of the local layer; each field's help is in its metadata."""

    steps: int = setting(150, "Updates.", least=1)
    rate: float = setting(3e-3, "Learning rate of Adam.", above=0)
    batch: int = setting(32, "Pictures per update.", least=1)
    presence: float = setting(5.0, "Weight of the distance from which concepts a picture has.", least=0)
    locality: float = setting(0.05, "Weight of the entropy of concepts at each position.", least=0)


def _fit(task: LayerTask, settings: LocalSettings, generator: torch.Generator) -> Parameters:
    tokens, values = _tokens(task.features), task.features.values
    scaling = Scaling.of(tokens.flatten(0, 1))
    counts = torch.bincount(task.labels, minlength=task.classes).clamp(min=1)
    with torch.inference_mode(False), torch.enable_grad():
        tokens, values, labels = scaling.apply(tokens).clone(), values.clone(), task.labels.clone()
        balance = (counts.sum() / (task.classes * counts.float())).clone()
        present = (values > PRESENT).float()
        concepts = values.shape[1]
        project = _start(tokens, values).requires_grad_()  # (D, K)
        query, key = torch.eye(concepts).requires_grad_(), torch.eye(concepts).requires_grad_()
        head = torch.zeros(task.classes, concepts).requires_grad_()
        optimizer = torch.optim.Adam([project, query, key, head], settings.rate)
        for _ in range(settings.steps):
            rows = torch.randperm(len(values), generator=generator)[: settings.batch]
            maps = tokens[rows] @ project  # (B, T, K)
            pooled = _pool(maps, values[rows], query, key)
            loss = cross_entropy(layer_norm(pooled, pooled.shape[-1:]) @ head.T, labels[rows], weight=balance)
            loss = loss + settings.presence * (pooled.sigmoid() - present[rows]).abs().mean()
            shares = maps.log_softmax(2)
            loss = loss - settings.locality * (shares.exp() * shares).sum(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    found = {"project": project, "query": query, "key": key}
    return {name: one.detach() for name, one in found.items()} | {"centre": scaling.centre, "scale": scaling.scale}


def _apply(features: HeadFeatures, parameters: Parameters) -> ConceptValues:
    tokens = Scaling(parameters["centre"], parameters["scale"]).apply(_tokens(features))
    maps = tokens @ parameters["project"]
    return ConceptValues(_pool(maps, features.values, parameters["query"], parameters["key"]), maps)


def _tokens(features: HeadFeatures) -> Tensor:
    if features.tokens is None or features.values.shape[1] < 2:
        raise ValueError("a local concept layer needs similarities to at least two words, and states of positions")
    return features.tokens


def _start(tokens: Tensor, values: Tensor) -> Tensor:
    """(D, K) the ridge regression from the mean position of pictures to their similarities."""
    means = tokens.mean(1)  # (P, D)
    gram = means @ means.T
    strength = RIDGE * float(gram.diagonal().mean().clamp(min=1e-6))
    return means.T @ torch.linalg.solve(gram + strength * torch.eye(len(means)), values)


def _pool(maps: Tensor, similarities: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """(B, K) concept maps (B, T, K), weighed by how well each position answers the picture's similarities (B, K)."""
    normal = layer_norm(maps, maps.shape[-1:])
    scores = torch.einsum("bk,btk->bt", similarities @ query, normal @ key) / maps.shape[-1] ** 0.5
    return torch.einsum("bt,btk->bk", scores.softmax(1), normal)


LAYER = ConceptLayer(
    "local",
    "Local",
    "Concepts are read at every position, so that each has a map (SL-CBM); it needs words.",
    LocalSettings(),
    _fit,
    _apply,
    local=True,
)
