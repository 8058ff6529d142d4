"""The grammar of the policy table: what one value may look like, and what one permitted call consists of."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from billing.stripe_gateway.operation import Operation

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """Grammar of one value. A variable one must also equal what the ledger expects; a constant one has one value."""

    pattern: re.Pattern[str]
    variable: bool = True
    required: bool = True


def constant(text: str) -> ParameterRule:
    """Allow one value, the same in every request."""
    return ParameterRule(re.compile(re.escape(text)), variable=False)


def one_of(*texts: str) -> ParameterRule:
    """Allow one of these texts; the ledger says which."""
    return ParameterRule(re.compile("|".join(re.escape(text) for text in texts)))


def like(pattern: str, *, required: bool = True) -> ParameterRule:
    """Allow what fits the pattern entirely and equals what the ledger expects."""
    return ParameterRule(re.compile(pattern), required=required)


def stripe_id(prefix: str, *, required: bool = True) -> ParameterRule:
    """Allow an id that Stripe made, of one kind."""
    return like(rf"{prefix}_[A-Za-z0-9]{{1,64}}", required=required)


def nothing_to_combine(_values: Values) -> str | None:
    """Every combination of values is fine."""
    return None


def one_selection(*alternatives: tuple[str, ...]) -> Callable[[Values], str | None]:
    """Return a check that exactly one group of parameters selects what is listed, and that it is whole."""

    def disagrees(values: Values) -> str | None:
        chosen = [names for names in alternatives if any(name in values for name in names)]
        if len(chosen) != 1:
            return alternatives[0][0]
        return next((name for name in chosen[0] if name not in values), None)

    return disagrees


_PATH_IDS = {
    "{customer}": stripe_id("cus"),
    "{invoice}": stripe_id("in"),
    "{charge}": stripe_id("(?:ch|py)"),
    "{credit_note}": stripe_id("cn"),
    "{dispute}": stripe_id("(?:dp|du)"),
    "{payment_intent}": stripe_id("pi"),
    "{refund}": stripe_id("(?:re|pyr)"),
}


@dataclass(frozen=True, slots=True)
class OperationRule:
    """One permitted call. `{name}` in the template stands for a Stripe id and is a variable of that name."""

    operation: Operation
    method: str
    template: str
    parameters: Mapping[str, ParameterRule]
    disagrees: Callable[[Values], str | None] = nothing_to_combine
    path: re.Pattern[str] = field(init=False)
    path_names: tuple[str, ...] = field(init=False)
    required: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Compile the template once."""
        pattern = re.escape(self.template)
        for name, rule in _PATH_IDS.items():
            pattern = pattern.replace(re.escape(name), f"({rule.pattern.pattern})")
        object.__setattr__(self, "path", re.compile(pattern))
        object.__setattr__(self, "path_names", tuple(re.findall(r"\{[a-z_]+\}", self.template)))
        object.__setattr__(self, "required", frozenset(n for n, rule in self.parameters.items() if rule.required))

    @property
    def variables(self) -> frozenset[str]:
        """Names an `Expectation` may have to cover: path ids in braces, then every parameter that is no constant."""
        return frozenset({*self.path_names, *(name for name, rule in self.parameters.items() if rule.variable)})
