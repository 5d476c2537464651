"""Trained networks outside this package: SavedModels, and clients of their server."""
