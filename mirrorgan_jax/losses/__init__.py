"""Losses of MirrorGAN (paper section 3.4) as pure functions."""
