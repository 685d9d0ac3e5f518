"""The lab model's text encoder for running and learning: CLIP's, read from the files of transformers.

As :mod:`.unet`, because importing transformers' takes long. Names of modules and weights are those of
``CLIPTextModel``, and so are the results (``tests/lab/model/test_unet.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a text encoder gives.

    Attributes:
        last_hidden_state: (B, L, D), normalised.
        pooler_output: (B, D), its rows at the first end-of-text token.
        hidden_states: the input of the first layer and the output of each, (B, L, D), where they were asked for.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None


class TextEncoder(nn.Module):
    """A causal text encoder over a table of words.

    Args:
        words: rows of the table.
        positions: how many it reads at most.
        end: id of the end-of-text token.
        config: sizes such as ``modules.TEXT_CONFIG``.
    """

    def __init__(self, words: int, positions: int, end: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, self.end = config["hidden_size"], end
        self.embeddings = nn.ModuleDict(
            {"token_embedding": nn.Embedding(words, width), "position_embedding": nn.Embedding(positions, width)}
        )
        layers = (
            _Layer(width, config["num_attention_heads"], config["intermediate_size"])
            for _ in range(config["num_hidden_layers"])
        )
        self.encoder = _Encoder(nn.ModuleList(layers))
        self.final_layer_norm = nn.LayerNorm(width)

    def get_input_embeddings(self) -> nn.Module:
        """The table of words."""
        return self.embeddings["token_embedding"]

    @property
    def device(self) -> torch.device:
        return self.final_layer_norm.weight.device

    def forward(self, input_ids: Tensor, output_hidden_states: bool = False) -> Encoded:
        """Ids (B, L) to what they mean."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        x = self.embeddings["token_embedding"](input_ids) + self.embeddings["position_embedding"](places)
        states = [x]
        for layer in self.encoder.layers:
            x = layer(x)
            states.append(x)
        x = self.final_layer_norm(x)
        ends = (input_ids == self.end).int().argmax(-1)  # (B,)
        pooled = x[torch.arange(len(x), device=x.device), ends]
        return Encoded(x, pooled, tuple(states) if output_hidden_states else None)


class _Encoder(nn.Module):
    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = _Attention(width, heads), _Mlp(width, inner)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, d)
            for rows in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )
        found = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out_proj(found.transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h))
