"""Brings back what a deletion took, from its manifest."""
