"""Figures and texts as people read them."""

from datetime import datetime, timedelta


def plain(text: str) -> str:
    """`text` on one line, without control characters: what a pod wrote must not steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def span(duration: timedelta) -> str:
    """A duration in at most two units, as kubectl writes ages: `45s`, `4m10s`, `3h5m`, `2d`."""
    total = max(0, int(duration.total_seconds()))
    minutes, hours, days = total // 60, total // 3600, total // 86_400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    return f"{hours}h" if hours < 48 else f"{days}d"


def age(then: datetime | None, now: datetime) -> str:
    """How long ago `then` was; a dash where that isn't known."""
    return "–" if then is None else span(now - then)


def short(sha256: str) -> str:
    """As much of a digest as tells it from others in a terminal."""
    return plain(sha256)[:12]


def count(number: int) -> str:
    """A number with its thousands set apart."""
    return f"{number:,}"


def percent(part: int, whole: int) -> str:
    """A share in percent, to a hundredth where it is below one; a dash of nothing."""
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.2f} %" if 0 < share < 1 else f"{share:.1f} %"


def step_of(number: int, steps: int | None) -> str:
    """A step as the API counts it, from 0: `step 0 of 0–2`."""
    return f"step {number} of 0–{steps - 1}" if steps else f"step {number}"


def moment(text: str | None) -> datetime | None:
    """The time that a Kubernetes object tells, such as `2026-11-22T10:00:00Z`; None if it tells none."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"
