"""What all engines on PyTorch share; imported by them alone."""
