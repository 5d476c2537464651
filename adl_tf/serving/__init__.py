"""Trained networks outside of this package: SavedModels, and how to talk to their server."""
