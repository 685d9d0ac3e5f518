"""Compose Concepts on ComfyUI's models."""
