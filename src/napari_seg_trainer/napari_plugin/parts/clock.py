"""Times as people read them."""


def clock(seconds: float) -> str:
    """Return a time such as ``4:12`` or ``1:04:12``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
