"""Scoring stored answers again: by a task's own rule, or by inspect-ai over its logs. No model is ever asked."""
