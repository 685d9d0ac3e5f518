"""What several hosts raise alike."""


class UnsupportedModelError(ValueError):
    """A socket carries something that no adapter reads."""
