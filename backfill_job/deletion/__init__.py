"""Deletes what was proven equal, generation by generation, from a manifest written before."""
