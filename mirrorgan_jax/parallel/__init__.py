"""Devices as one mesh, and the processes that hold them."""
