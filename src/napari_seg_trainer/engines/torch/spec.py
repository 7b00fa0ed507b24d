"""What all engines on PyTorch have in their forms; imports no framework."""

from typing import Any, Literal

from pydantic import Field

Device = Literal["cuda", "mps", "cpu"]


def device_field() -> Any:
    """Return the field that says where a training is computed."""
    return Field(None, title="Compute on", description="cuda: NVIDIA GPU; mps: GPU of a Mac; cpu: processor.")
