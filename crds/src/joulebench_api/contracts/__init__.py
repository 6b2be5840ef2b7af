"""What the parts of joulebench agree on: identities, messages, ports and the summary. Versioned, pure data."""

SCHEMA_VERSION = 1
"""Version of every file and message declared here; written into each of them, raised when a reader must know."""
