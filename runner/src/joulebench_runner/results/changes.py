"""The two changes that need nothing but the settings: another method, other prices."""

from joulebench_api.contracts.energy import Method
from joulebench_api.contracts.summary import Prices
from joulebench_api.names import did_you_mean, joined
from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.results.redo import Change
from joulebench_runner.translation.availability import METHODS


def method_named(name: str) -> Method:
    """The method of that name, in upper or lower case. BadInputError names the nearest."""
    by_name = {method.value.lower(): method for method in Method}
    found = by_name.get(name.lower())
    if found in METHODS and found is not None:
        return found
    available = joined([method.value for method in METHODS])
    if found is not None:
        raise BadInputError(f"--method {name}: not available yet", remedy=f"There are {available}.")
    hint = did_you_mean(name, [method.value for method in METHODS])
    raise BadInputError(f"--method {name}: there is no such method", remedy=hint or f"There are {available}.")


def by_method(method: Method) -> Change:
    """Split the joules by another method."""

    def settings(before: MeterSettings) -> MeterSettings:
        return before.model_copy(update={"energy": before.energy.model_copy(update={"method": method})})

    return Change(what="attribution", label=method.value.lower(), given={"method": method.value}, settings=settings)


def at_prices(prices: Prices) -> Change:
    """Reckon the costs at other prices."""
    return Change(
        what="prices",
        label="prices",
        given={"prices": prices.model_dump(mode="json")},
        settings=lambda before: before.model_copy(update={"pricing": prices}),
    )
