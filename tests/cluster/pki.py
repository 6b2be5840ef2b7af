"""Keys, certificates and tokens of a cluster, made by openssl (client certificates and sign-in:
https://kubernetes.io/docs/reference/access-authn-authz/authentication/).
"""

import secrets
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.settings import CONTROL_PLANE_ADDRESS, KUBERNETES_SERVICE_ADDRESS

_DAYS = "30"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make_control_plane_keys(folder: Path) -> None:
    """The authority, the API server's two certificates and the key of service account tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = ("-x509", "-days", _DAYS, "-subj", "/CN=joulebench-test-authority")
    run(["openssl", "req", *authority, *_CURVE, "-keyout", folder / "ca.key", "-out", folder / "ca.crt"])
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    addresses = [CONTROL_PLANE_ADDRESS, KUBERNETES_SERVICE_ADDRESS, "127.0.0.1"]
    make_certificate(folder, "apiserver", subject="/CN=kube-apiserver", names=names, addresses=addresses)
    make_certificate(folder, "kubelet-client", subject="/O=system:masters/CN=apiserver-kubelet-client")
    run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"])
    run(["openssl", "rsa", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])


def make_certificate(
    folder: Path, name: str, *, subject: str, names: Sequence[str] = (), addresses: Sequence[str] = ()
) -> None:
    """`NAME.crt` and `NAME.key` in the folder, signed by the authority there."""
    request = folder / f"{name}.csr"
    run(["openssl", "req", *_CURVE, "-subj", subject, "-keyout", folder / f"{name}.key", "-out", request])
    extensions = folder / f"{name}.ext"
    extensions.write_text(_extensions(names, addresses))
    authority = ("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-days", _DAYS)
    serial = ("-set_serial", f"0x{secrets.token_hex(16)}")
    output = ("-extfile", extensions, "-out", folder / f"{name}.crt")
    run(["openssl", "x509", "-req", "-in", request, *authority, *serial, *output])


def _extensions(names: Sequence[str], addresses: Sequence[str]) -> str:
    alternatives = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
    lines = ["extendedKeyUsage=serverAuth,clientAuth"]
    if alternatives:
        lines.append("subjectAltName=" + ",".join(alternatives))
    return "\n".join(lines) + "\n"


def make_tokens(nodes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A token for each client: client to (token, its line in the API server's token file)."""
    users = {
        "admin": ("admin", "system:masters"),
        "kube-controller-manager": ("system:kube-controller-manager", ""),
        "kube-scheduler": ("system:kube-scheduler", ""),
        "kube-proxy": ("system:kube-proxy", "system:node-proxier"),
        **{node: (f"system:node:{node}", "system:nodes") for node in nodes},
    }
    tokens = {client: secrets.token_hex(16) for client in users}
    return {
        client: (tokens[client], ",".join([tokens[client], user, client, *([f'"{group}"'] if group else [])]))
        for client, (user, group) in users.items()
    }
