"""Diffusion transformers inside ComfyUI."""
