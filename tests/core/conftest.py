from dataclasses import replace

import pytest
import torch

from concept_atelier.core.types import Concepts


def draw_labels(grid, boxes):
    """(h, w) long: 0 for background, i for the i-th box (top, left, height, width)."""
    labels = torch.zeros(grid, dtype=torch.long)
    for number, (top, left, height, width) in enumerate(boxes, 1):
        labels[top : top + height, left : left + width] = number
    return labels


def block_attention(labels, seed=0, reach=1.5, leak=0.02):
    """Attention that stays within a label: an even part, a part that prefers near cells, noise, and a leak."""
    h, w = labels.shape
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    place = torch.stack([y.flatten(), x.flatten()], 1).float()
    near = (-torch.cdist(place, place).square() / (2 * reach**2)).exp()
    same = labels.flatten()[:, None] == labels.flatten()[None]
    noise = torch.rand(h * w, h * w, generator=torch.Generator().manual_seed(seed))
    rows = same * (0.3 + near + 0.1 * noise) + leak * noise
    return rows / rows.sum(1, keepdim=True)


class Twice:
    """A model that reads each text by two encoders whose rows lie one behind another; the second gives doubled rows."""

    def __init__(self, backbone):
        self.backbone = backbone

    def tokenize(self, text, placeholders=None):
        read = self.backbone.tokenize(text, placeholders)
        words = 1 + max((token.word for token in read.tokens), default=-1)
        second = [
            replace(token, position=token.position + read.length, word=token.word + words, reading=1)
            for token in read.tokens
        ]
        places = ((0, read.end), (read.length, read.length + read.end))
        return replace(
            read, tokens=(*read.tokens, *second), start=None, end=places[1][1], length=2 * read.length, readings=places
        )

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def encode_text(self, texts, placeholders=None):
        found = self.backbone.encode_text(texts, placeholders)
        return replace(found, context=torch.cat([found.context, 2 * found.context], 1))

    def encode_beginnings(self, texts, length, placeholders=None):
        return self.encode_text(texts, placeholders).context[:, :length]


@pytest.fixture(scope="session")
def lab_modules(narrow_modules):
    return narrow_modules


@pytest.fixture(scope="session")
def lab_model(narrow_model):
    return narrow_model


@pytest.fixture(scope="session")
def lab_backbone(narrow_backbone):
    return narrow_backbone


@pytest.fixture
def twice(lab_backbone):
    return Twice(lab_backbone)


@pytest.fixture
def labels_of():
    return draw_labels


@pytest.fixture
def attention_of():
    return block_attention


@pytest.fixture
def three_concepts():
    """Three disjoint masks on a 4x6 grid: left column, the 2x2 block in the middle, the right column."""
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    masks[0, :, 0] = True
    masks[1, 1:3, 2:4] = True
    masks[2, :, 5] = True
    return Concepts(
        masks, masks / masks.sum((1, 2), keepdim=True), ("1", "2", "3"), torch.tensor([3.0, 2.0, 1.0]), (32, 48)
    )
