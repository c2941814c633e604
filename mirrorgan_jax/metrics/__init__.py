"""Measures of generated images, each with its protocol in the docstring."""
