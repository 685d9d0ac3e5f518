"""ComfyUI's own executor with its cache."""

import asyncio
import itertools

import pytest


class Keep:
    """The end of a workflow, for the test to look at."""

    kept: dict = {}
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "keep", "test", True

    @classmethod
    def INPUT_TYPES(cls):
        kinds = {"masks": "MASK", "image": "IMAGE", "samples": "LATENT", "concepts": "CONCEPTS"}
        kinds |= {"tokens": "CONCEPT_TOKENS", "capture": "ATTENTION_CAPTURE"}
        return {"required": {"name": ("STRING", {})}, "optional": {key: (kind,) for key, kind in kinds.items()}}

    def keep(self, name, **given):
        (value,) = given.values()
        self.kept[name] = value
        return ()


class Executor:
    """One ComfyUI's executor with its cache, over several prompts."""

    def __init__(self):
        import execution
        from server import PromptServer

        limits = {"lru": 0, "ram": 0.0, "ram_inactive": 0.0}
        self.validate = execution.validate_prompt
        self.executor = execution.PromptExecutor(PromptServer.instance, execution.CacheType.CLASSIC, limits)
        self.numbers, self.kept = itertools.count(), {}

    def run(self, prompt):
        """What was kept up to now, and the nodes that ran. Fails for what the server would refuse or report."""
        said = self.go(prompt)
        assert "execution_success" in said, said.get("execution_error", said)
        return dict(self.kept), set(prompt) - set(said["execution_cached"]["nodes"])

    def check(self, prompt, key="prompt"):
        """Whether the server takes a prompt, what is wrong with it, its outputs, and what is wrong with its nodes."""
        return asyncio.run(self.validate(key, prompt, None))

    def go(self, prompt):
        """The server's messages about a prompt."""
        key = f"prompt {next(self.numbers)}"
        valid, error, outputs, of_nodes = self.check(prompt, key)
        assert valid, (error, of_nodes)
        Keep.kept = self.kept
        self.executor.execute(prompt, key, {}, outputs)
        return dict(self.executor.status_messages)


@pytest.fixture
def executor(pack, comfyui, monkeypatch, uninterrupted):
    monkeypatch.setitem(comfyui.NODE_CLASS_MAPPINGS, "Keep", Keep)
    return Executor
