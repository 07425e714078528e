"""Counts, shares and chances as verdicts tell them. Pure."""

from math import exp

from tidegate_operator.evidence import betting


def part(of_them: int, whole: int, thing: str, things: str | None = None) -> str:
    """A part of so many, such as "3 of 300 requests (1 %)"; no share where there are none."""
    told = f"{of_them} of {count(whole, thing, things)}"
    return f"{told} ({percent(of_them / whole)})" if whole else told


def percent(share: float) -> str:
    """A share of 1."""
    return f"{100 * share:.3g} %"


def count(number: int, thing: str, things: str | None = None) -> str:
    """So many, such as "1 request" and "2 requests"; `things` where that isn't `thing` with an s."""
    return f"{number} {thing}" if number == 1 else f"{number} {things or f'{thing}s'}"


def odds(wealth: betting.Wealth) -> str:
    """How likely such evidence is where the hypothesis that was bet against holds."""
    times = exp(min(betting.log_evidence(wealth), 20.0))
    return f"by chance at most once in {times:,.0f} times"
