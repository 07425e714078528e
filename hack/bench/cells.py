"""How a figure, a name or a reason stands in a table's cell."""

from bench.servers import OURS


def named(server: str) -> str:
    """In bold if it is ours."""
    return f"**{server}**" if server == OURS else server


def number(value: float | None) -> str:
    """Three digits that count, whole numbers from a hundred on."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(text: str) -> str:
    """Text that may stand in a cell of a table, its first 300 characters."""
    return " ".join(text.split()).replace("|", "\\|")[:300]
