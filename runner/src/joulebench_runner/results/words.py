"""Figures in words, the same in the terminal and in the report."""

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal

from joulebench_api.contracts.energy import SensorKind
from joulebench_api.contracts.summary import Cost, CostFigure, Energy, ModelUse

NOT_KNOWN = "not known"

_KIND_WORDS = {
    SensorKind.MEASURED: "measured by a hardware counter",
    SensorKind.MODELLED: "modelled from CPU time with stated coefficients, not measured",
    SensorKind.SIMULATED: "simulated; no hardware was involved",
}


def kind_in_words(energy: Energy) -> str:
    """Where the joules come from, in a sentence."""
    if energy.kind is None:
        return f"No joules: {energy.problem or 'nothing was measured'}."
    kept = "every joule is accounted for" if energy.conserved else "the joules DO NOT add up; do not use them"
    return f"Joules are {_KIND_WORDS[energy.kind]} ({energy.sensor}); split by {energy.method}; {kept}."


def joules(value: float) -> str:
    """Joules with three significant digits and a fitting prefix, such as `7.41 J`, `310 mJ` or `1.20 kJ`."""
    return _with_prefix(value, "J", {1e6: "M", 1e3: "k", 1.0: "", 1e-3: "m"})


def seconds(value: float) -> str:
    """Seconds with three significant digits, such as `1.25 s` or `38.2 ms`."""
    return _with_prefix(value, "s", {1.0: "", 1e-3: "m"})


def by_model(models: Sequence[ModelUse]) -> Iterator[tuple[str, str]]:
    """Who used what, each as (alias, words); nothing for a run that asks one model alone."""
    if len(models) > 1:
        for use in models:
            energy = NOT_KNOWN if use.energy_joules is None else joules(use.energy_joules)
            output = "" if use.tokens.output is None else f", {use.tokens.output:,} output tokens"
            yield use.alias, f"{energy}, {use.calls:,} calls{output}  ({use.name})"


def costs(cost: Cost) -> Iterator[tuple[str, str]]:
    """What has a price, each as (name, words); nothing where no prices were given."""
    named = {
        "electricity": (cost.electricity, cost.prices.electricity_per_kwh, _money(cost)),
        "accelerators": (cost.accelerators, cost.prices.accelerator_per_hour, _money(cost)),
        "tokens at API price": (cost.tokens, cost.prices.tokens or None, _money(cost)),
        "submodels' tokens": (cost.submodel_tokens, cost.submodel_tokens.total, _money(cost)),
        "carbon": (cost.carbon_grams, cost.prices.carbon_grams_per_kwh, "g CO2e"),
    }
    for name, (figure, price, unit) in named.items():
        if price is not None:
            yield name, _cost(figure, unit)


def _money(cost: Cost) -> str:
    return cost.prices.currency or "(no currency given)"


def _cost(figure: CostFigure, unit: str) -> str:
    if figure.total is None:
        return f"{NOT_KNOWN}: {figure.problem}"
    each = {"question": figure.per_query, "correct answer": figure.per_correct}
    shown = ", ".join(f"{digits(value)} per {name}" for name, value in each.items() if value is not None)
    return f"{digits(figure.total)} {unit}" + (f"  ({shown})" if shown else "")


def digits(value: Decimal) -> str:
    """Three significant digits, without an exponent."""
    return format(Context(prec=3).plus(value), "f")


def _with_prefix(value: float, unit: str, prefixes: dict[float, str]) -> str:
    for size, prefix in prefixes.items():
        if abs(value) >= size:
            return f"{_three_digits(value / size)} {prefix}{unit}"
    size, prefix = list(prefixes.items())[-1]
    return f"{_three_digits(value / size)} {prefix}{unit}"


def _three_digits(value: float) -> str:
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{decimals}f}"
