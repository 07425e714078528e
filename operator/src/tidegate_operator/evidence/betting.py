"""Evidence as the wealth of one who bets, which may be looked at as often as one likes. Pure.

Hypothesis: each of the canary's requests is bad (it failed, or was slow) with a chance of at most p, whatever came
before it. Who begins with a wealth of 1 and stakes the share f of it on "bad" at each request, at odds that are fair
for p, has after b bad and g good ones

    log W(f)  =  b · log(1 + f (1 − p) / p)  +  g · log(1 − f)

This is the capital process Π(1 + λ (x − p)) with λ = f / p of Waudby-Smith and Ramdas ("Estimating means of bounded
random variables by betting", JRSS B 2024); it wins most if the true chance is p + f (1 − p) (Kelly 1956). If the
hypothesis is true, no bet wins on average: the mean of W over a fixed grid of f, e, is a nonnegative supermartingale
that begins at 1. So by Ville's inequality (1939) the chance that e *ever* reaches 1 / α is at most α, whenever and how
often it is looked at; p may differ from window to window, as long as the canary's requests don't have a say in it.

What stable's own share is, only its requests tell. The same inequality bounds it at all times at once: for the true
share p the mixture over a Beta(a, b) prior

    M(p)  =  B(a + bad, b + good) / B(a, b)  /  (p^bad · (1 − p)^good)

is such a martingale, and reaches 1 / δ with a chance of at most δ, so that the largest p with M(p) < 1 / δ is an upper
bound (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
sequences", Annals of Statistics 2021).
"""

from collections.abc import Sequence
from math import exp, inf, lgamma, log, log1p
from typing import Final

STAKES: Final = tuple(0.002 * 1.75**k for k in range(12))
"""The grid of f: from what a rise by two requests in a thousand is worth to one where nearly all are bad."""

ALPHA: Final = 0.005
"""How likely a rollout is aborted whose canary is as good as it has to be, over all looks at both bets in all steps."""
DELTA: Final = 0.001
"""How likely one of stable's two shares is above its bound at any time of a step."""

LEAST_SHARE: Final = 5e-4
"""A smaller share is taken for this: with less a single bad request, if it comes first, would refute the hypothesis."""

_PRIOR_BAD: Final = 0.5
_PRIOR_GOOD: Final = 9.5
"""A prior around 5 in 100 that has much weight near none: both shares are there."""

Wealth = Sequence[float]
"""The logarithm of the wealth of each of `STAKES`."""


def begun() -> tuple[float, ...]:
    """The wealth before the first bet."""
    return (0.0,) * len(STAKES)


def known(wealth: list[float] | None) -> Wealth:
    """The wealth that a status holds. One of another length is another release's, whose grid isn't known: it begins."""
    return wealth if wealth is not None and len(wealth) == len(STAKES) else begun()


def after(wealth: Wealth, bad: int, good: int, share: float) -> tuple[float, ...]:
    """The wealth after so many bad and good requests, of which at most `share` may be bad.

    As it was, where the share is 1: nothing could exceed that. Finite for whatever is finite.
    """
    if share >= 1:
        return tuple(wealth)
    share = max(share, LEAST_SHARE)
    odds = (1 - share) / share
    return tuple(
        before + bad * log1p(stake * odds) + good * log1p(-stake) for before, stake in zip(wealth, STAKES, strict=True)
    )


def log_evidence(wealth: Wealth) -> float:
    """The logarithm of the mean over the bets."""
    most = max(wealth)
    return most + log(sum(exp(each - most) for each in wealth) / len(wealth))


def won(wealth: Wealth, steps: int = 1) -> bool:
    """Whether the hypothesis is refuted, where two such are tested in each of so many steps, which share `ALPHA`."""
    return log_evidence(wealth) >= log(2 * steps / ALPHA)


def upper_bound(bad: int, of: int) -> float:
    """What the true share is below, of which `bad` of `of` requests are seen; 1 where nothing is known."""
    good = of - bad
    if good <= 0:
        return 1.0
    marginal = _log_beta(_PRIOR_BAD + bad, _PRIOR_GOOD + good) - _log_beta(_PRIOR_BAD, _PRIOR_GOOD)
    low, high = bad / of, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if marginal - _log_likelihood(middle, bad, good) < -log(DELTA):
            low = middle
        else:
            high = middle
    return high


def _log_likelihood(share: float, bad: int, good: int) -> float:
    if share >= 1:
        return -inf
    return (bad * log(share) if bad else 0.0) + good * log1p(-share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
