"""Pieces that several widgets are made of; none knows what a run or a model is."""
