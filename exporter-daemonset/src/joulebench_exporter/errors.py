"""Errors that the exporter and its client raise on purpose. Each says what is wrong, and what can be done."""


class ExporterError(Exception):
    """Base of all of them. `remedy` is a sentence for the user, printed under the message."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message}\n{self.remedy}"


class BadOptionError(ExporterError):
    """A command-line option or environment variable cannot be used; nothing was started."""

    exit_code = 2


class SensorUnavailableError(ExporterError):
    """This machine has no such sensor, or it cannot be read by this user."""

    exit_code = 2


class SensorReadError(ExporterError):
    """One read of one counter failed; the ledger turns it into a gap."""


class ListenError(ExporterError):
    """The exporter cannot listen where it was told to."""

    exit_code = 2


class ExporterUnavailableError(ExporterError):
    """No exporter answers there, or it has stopped. Connecting again may help."""


class ExporterAccessError(ExporterError):
    """The exporter does not let this caller in, or what it needs for that cannot be read."""


class SubscriberTooSlowError(ExporterError):
    """The exporter cut this subscriber off because it did not read. Watch again from the last tick received."""


class ExporterRequestError(ExporterError):
    """The exporter refuses the request: a device that it does not have, or times that make no sense."""


class ExporterProtocolError(ExporterError):
    """Exporter and client are of releases that do not understand each other."""
