"""Spiking neurons: their layers, the recurrence over time and its gradient, eager and compiled."""
