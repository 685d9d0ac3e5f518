"""Counting the model passes that a training costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...backbone import AttentionCall, Backbone


@dataclass
class Passes:
    """Samples that went through the denoiser so far; a batch of B counts B, and its backward pass nothing more."""

    count: int = 0

    def add(self, call: AttentionCall) -> None:
        """Count one forward pass, seen from one attention layer; a joint layer hands it out twice."""
        if call.view != "self":
            self.count += len(call.query)


@contextmanager
def counted_passes(backbone: Backbone) -> Iterator[Passes]:
    """Count every sample that goes through the denoiser inside the context, whoever sends it."""
    passes = Passes()
    with backbone.tap_attention(passes.add, backbone.attention_sites()[:1]):
        yield passes
