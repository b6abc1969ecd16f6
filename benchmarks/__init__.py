"""Measurements: every number in the README is printed by one of these programs."""
