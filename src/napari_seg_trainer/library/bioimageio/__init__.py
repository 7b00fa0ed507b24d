"""Models for the BioImage Model Zoo: https://bioimage.io."""
