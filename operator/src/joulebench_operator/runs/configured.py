"""Which operator configuration was used."""

import hashlib
import json

from joulebench_api.configuration import OperatorConfiguration


def configuration_hash(configuration: OperatorConfiguration) -> str:
    """SHA-256 of the configuration's values, whatever the order of their keys."""
    values = configuration.model_dump(mode="json", by_alias=True, exclude_none=True)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
