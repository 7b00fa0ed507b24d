"""Cellpose: the residual U-Net that trains from scratch, and Cellpose-SAM, with one training loop for both."""
