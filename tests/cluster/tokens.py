"""Service-account tokens that are out of date, signed by the cluster's own key: nobody can wait for one to expire."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.cluster.commands import run
from tests.cluster.layout import Layout


def with_times(token: str, layout: Layout, *, scratch: Path, expires_in_seconds: int) -> str:
    """The same token with another end; before that it was good for an hour."""
    head, body, _ = token.split(".")
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=="))
    end = int(time.time()) + expires_in_seconds
    claims |= {"exp": end, "iat": end - 3600, "nbf": end - 3600}
    signed = f"{head}.{_base64(json.dumps(claims).encode())}"
    (scratch / "signed").write_text(signed)
    # RS256 of RFC 7518, section 3.3.
    key, signature = layout.pki / "sa.key", scratch / "signature"
    run(["openssl", "dgst", "-sha256", "-sign", key, "-out", signature, scratch / "signed"])
    return f"{signed}.{_base64(signature.read_bytes())}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
