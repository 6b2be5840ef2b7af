"""The exporter's certificate, for gRPC and for HTTP."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from joulebench_exporter.errors import BadOptionError

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A certificate (with its chain) and its key, as PEM files."""

    certificate: Path
    key: Path

    def credentials(self) -> "grpc.ServerCredentials":
        """For gRPC. Raises BadOptionError."""
        import grpc  # noqa: PLC0415 - the command line knows of certificates long before it needs gRPC

        self.context()  # gRPC would say nothing about files that do not belong together
        return grpc.ssl_server_credentials([(self._read(self.key), self._read(self.certificate))])

    def context(self) -> ssl.SSLContext:
        """For HTTP. Raises BadOptionError for files that are missing, are no PEM or do not belong together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise BadOptionError(
                f"the certificate {self.certificate} and the key {self.key} cannot be used: {error}",
                remedy="Give PEM files that belong together to --tls-cert and --tls-key.",
            ) from error
        return context

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise BadOptionError(f"cannot read {path}: {error.strerror}", remedy="Give a PEM file.") from error
