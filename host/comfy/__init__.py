"""What the pack knows of ComfyUI's inside: a list of it, and the checks of that list."""
