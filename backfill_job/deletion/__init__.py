"""Deletes what was proven equal, generation by generation, from a manifest that was written before."""
