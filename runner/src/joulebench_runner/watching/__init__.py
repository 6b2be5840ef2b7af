"""Watching the watts of this machine, or of an exporter elsewhere, without a benchmark."""
