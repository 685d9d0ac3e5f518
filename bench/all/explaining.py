"""The commands of ``bench explain``, ``bench importance``, ``bench steer`` and ``bench audit``."""

from ...core.explain.registry import METHODS as EXPLAINING

UNSIGNED = ("nmf",)
"""Methods of finding ingredients that need activations without negative values, which no layer of the lab has."""


def explained() -> dict[str, str]:
    """Every way of finding ingredients, each from three seeds, in the denoiser and in the image tower; whether what
    matters is the object; audits of scenes and of drawings."""
    methods = [name for name in EXPLAINING if name not in UNSIGNED]
    command = "explain --split test --cases 4 --method"
    return {
        **{f"explain/{name}.json": f"{command} {name}" for name in methods},
        **{f"explain/tower_{name}.json": f"{command} {name} --source tower" for name in methods},
        "explain/importance.json": "importance --split test --cases 4",
        "explain/importance_tower.json": "importance --split test --cases 4 --source tower",
        "explain/sweep.json": "explain --cases 4 --sweep",
        "explain/steer.json": "steer --split test --cases 4",
        "explain/audit.json": "audit --split test --cases 4",
        "explain/audit_drawings.json": "audit --split test --cases 4 --of drawings",
        "explain/audit_fine_tune.json": "audit --split test --cases 4 --of fine-tune",
    }
