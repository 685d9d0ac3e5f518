"""Skills on ComfyUI's models."""
