"""Erasures, and their files in the stock loader."""

import pytest


@pytest.fixture
def erase(run):
    """Erase Concepts: MODEL and ERASURE. Random weights tell concepts apart by little: so damping is low."""

    def go(parts, **changes):
        plain = {"model": parts["model"], "clip": parts["clip"], "concepts": "cat", "damping": 0.01}
        return run("EraseConcepts", **(plain | changes))

    return go


@pytest.fixture
def lora(run, stock):
    """An erasure through its file and the stock loader."""

    def go(erasure, model, strength=1.0, name="atelier/erased"):
        run("SaveErasureAsLora", erasure=erasure, name=name)
        given = {"lora_name": f"{name}.safetensors", "strength_model": strength}
        return stock("LoraLoaderModelOnly", model=model, **given)[0]

    return go
