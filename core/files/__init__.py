"""Tensors in files (learnt tokens, erasures, changes of a model), and how any file is written and read."""

from .embeddings import BUNDLE, SINGLE_KEY, embedding_tensors, load_embedding, load_embeddings, save_embedding
from .loras import (
    adapter_tensors,
    change_tensors,
    kohya_key,
    lora_tensors,
    old_text_key,
    save_adapter,
    save_lora,
    text_key,
)
from .tensors import PICKLED, check_finite, load_tensors, save_tensors, write_tensors

__all__ = [
    "BUNDLE",
    "PICKLED",
    "SINGLE_KEY",
    "adapter_tensors",
    "change_tensors",
    "check_finite",
    "embedding_tensors",
    "kohya_key",
    "load_embedding",
    "load_embeddings",
    "load_tensors",
    "lora_tensors",
    "old_text_key",
    "save_adapter",
    "save_embedding",
    "save_lora",
    "save_tensors",
    "text_key",
    "write_tensors",
]
