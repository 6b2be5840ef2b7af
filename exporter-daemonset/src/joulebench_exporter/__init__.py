"""The energy meter of joulebench: sensors, an exact ledger of their counters, and a gRPC stream of every tick."""

__version__ = "0.1.0.dev0"
