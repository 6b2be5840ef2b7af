"""References to Secrets without a cluster: the environment variables that stand for them."""

import re

from joulebench_api.v1alpha1.references import SecretKeyRef


def environment_name(ref: SecretKeyRef) -> str:
    """`openai`/`api-key` -> `OPENAI_API_KEY`: the variable that holds the value on a machine without a cluster."""
    name = re.sub(r"[^A-Z0-9]", "_", f"{ref.name}_{ref.key}".upper())
    # A variable's name cannot begin with a digit, a Secret's can.
    return f"_{name}" if name[0].isdigit() else name
