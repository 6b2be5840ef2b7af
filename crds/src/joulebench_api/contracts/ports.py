"""Ports and paths that are the same on every cluster; local runs take free ports instead."""

METER_PROXY_PORT = 8780
"""The meter's OpenAI-compatible proxy; bound to 127.0.0.1 only."""

METER_STATUS_PORT = 8781
"""The meter's read-only status and metrics; carries no prompts and no answers."""

EXPORTER_GRPC_PORT = 9780
EXPORTER_HTTP_PORT = 9781
OPERATOR_METRICS_PORT = 9782
OPERATOR_PROBES_PORT = 9783
