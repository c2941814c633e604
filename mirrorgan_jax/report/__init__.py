"""Draws what lies on disk: pages, charts, sheets, the paper's figures and tables."""
