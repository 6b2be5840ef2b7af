"""Model servers that the runner can start by itself."""
