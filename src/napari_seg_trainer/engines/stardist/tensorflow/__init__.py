"""StarDist computed with TensorFlow, by the package stardist itself: the reference, and the second way."""
