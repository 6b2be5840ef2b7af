"""What a run cost: electricity, accelerator-hours, carbon, and its tokens at an API price. Pure.

Reckoned in fractions and rounded once, at the end, to 12 significant digits.
"""

import decimal
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from joulebench_api.contracts.identity import JUDGE_ALIAS, MODEL_ALIAS
from joulebench_api.contracts.summary import Cost, CostBasis, CostFigure, Prices, Summary, TokenPrices, TokensOfServer

MJ_PER_KWH: Final = 3_600_000_000
NS_PER_HOUR: Final = 3_600_000_000_000
_CONTEXT: Final = decimal.Context(prec=12, rounding=decimal.ROUND_HALF_EVEN)
_MILLION: Final = 1_000_000

Known = Fraction | str
"""An amount, or why it is not known."""


def repriced(summary: Summary, prices: Prices) -> Summary:
    """The same summary at other prices."""
    basis = summary.cost.basis
    unknown = Cost(prices=prices, paid=CostFigure(problem="an earlier release wrote this summary, without costs"))
    return summary.model_copy(update={"cost": unknown if basis is None else cost(basis, prices)})


def cost(basis: CostBasis, prices: Prices) -> Cost:
    """All costs of a run; each is null with a reason where something it needs is not known."""
    kwh = _energy_kwh(basis, prices)
    hours = _accelerator_hours(basis)
    electricity = _times(kwh, prices.electricity_per_kwh, "cost.electricityPerKWh")
    accelerators = _accelerators(basis, prices)
    by_party = {name: _tokens(used, prices) for name, used in _by_party(basis).items()}
    paid = _paid({"electricity": electricity, "accelerators": accelerators}, by_party)
    return Cost(
        prices=prices,
        basis=basis,
        energy_kwh=_figure(kwh, basis),
        electricity=_figure(electricity, basis),
        accelerator_hours=_figure(hours, basis),
        accelerators=_figure(accelerators, basis),
        carbon_grams=_figure(_times(kwh, prices.carbon_grams_per_kwh, "cost.carbonGramsPerKWh"), basis),
        **{name: _figure(amount, basis) for name, amount in by_party.items()},
        paid=_figure(sum(paid.values(), Fraction(0)) if paid else "nothing that was paid for has a price", basis),
        paid_for=list(paid),
    )


def _energy_kwh(basis: CostBasis, prices: Prices) -> Known:
    if basis.energy_mj is None:
        return f"the energy is not known: {basis.energy_problem or 'nothing was measured'}"
    return Fraction(basis.energy_mj, MJ_PER_KWH) * Fraction(1 if prices.pue is None else prices.pue)


def _accelerator_hours(basis: CostBasis) -> Known:
    if basis.accelerator_ns is None:
        return "no accelerator was measured"
    return Fraction(basis.accelerator_ns, NS_PER_HOUR)


def _accelerators(basis: CostBasis, prices: Prices) -> Known:
    by_product = {_product(name): price for name, price in prices.accelerator_per_hour_by_product.items()}
    if not by_product or not basis.accelerator_ns_by_product:
        return _times(_accelerator_hours(basis), prices.accelerator_per_hour, "cost.acceleratorPerHour")
    parts = [
        _times(
            Fraction(ns, NS_PER_HOUR),
            by_product.get(_product(name), prices.accelerator_per_hour),
            f"cost.acceleratorPerHour, or a price of {name},",
        )
        for name, ns in basis.accelerator_ns_by_product.items()
    ]
    return _sum(parts)


def _product(name: str) -> str:
    """A product's name, which the driver writes with spaces and a node's label with dashes."""
    return name.replace(" ", "-").casefold()


def _times(amount: Known, price: decimal.Decimal | None, field: str) -> Known:
    if price is None:
        return f"{field} is not given"
    return amount if isinstance(amount, str) else amount * Fraction(price)


def _by_party(basis: CostBasis) -> dict[str, dict[str, TokensOfServer]]:
    """The tokens of each alias by the figure that they belong to."""
    figures = {MODEL_ALIAS: "tokens", JUDGE_ALIAS: "judge_tokens"}
    found: dict[str, dict[str, TokensOfServer]] = {"tokens": {}, "submodel_tokens": {}, "judge_tokens": {}}
    for alias, used in basis.tokens.items():
        found[figures.get(alias, "submodel_tokens")][alias] = used
    return found


def _tokens(used: Mapping[str, TokensOfServer], prices: Prices) -> Known:
    """The sum over some servers; the first reason why it is not known."""
    if not used:
        return "no such calls were answered"
    return _sum([_tokens_of(alias, tokens, prices.tokens.get(alias)) for alias, tokens in used.items()])


def _sum(parts: Sequence[Known]) -> Known:
    known = [part for part in parts if not isinstance(part, str)]
    return sum(known, Fraction(0)) if len(known) == len(parts) else next(p for p in parts if isinstance(p, str))


def _tokens_of(alias: str, used: TokensOfServer, prices: TokenPrices | None) -> Known:
    if prices is None or prices.input_per_million is None or prices.output_per_million is None:
        which = "outputPerMillion" if prices is not None and prices.input_per_million is not None else "inputPerMillion"
        return f"tokenPrices.{which} of {alias} is not given"
    if used.prompt is None or used.output is None:
        return f"the server of {alias} did not tell the tokens of every call"
    cached_price = prices.cached_input_per_million
    # Without a price of its own, or a count, what was cached is input like all other.
    cached = 0 if cached_price is None else used.cached_prompt or 0
    amount = (used.prompt - cached) * Fraction(prices.input_per_million)
    amount += cached * Fraction(cached_price or 0) + used.output * Fraction(prices.output_per_million)
    return amount / _MILLION


def _paid(own: Mapping[str, Known], tokens: Mapping[str, Known]) -> dict[str, Fraction]:
    """What stands for the money that was spent. Electricity and an API's price are two prices of the same work."""
    found = {name: amount for name, amount in own.items() if not isinstance(amount, str)}
    bought = {name: amount for name, amount in tokens.items() if not isinstance(amount, str)}
    if found:
        bought.pop("tokens", None)
    return found | bought


def _figure(total: Known, basis: CostBasis) -> CostFigure:
    if isinstance(total, str):
        return CostFigure(problem=total)
    return CostFigure(
        total=_rounded(total),
        per_query=_rounded(total / basis.queries) if basis.queries else None,
        per_correct=_rounded(total / basis.correct) if basis.correct else None,
    )


def _rounded(value: Fraction) -> decimal.Decimal:
    """12 significant digits, without superfluous zeros."""
    rounded = _CONTEXT.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))
    text = format(rounded, "f")
    return decimal.Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
