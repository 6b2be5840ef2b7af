"""Sensors: each knows some devices and reads their energy counters. `detect` chooses among them."""
