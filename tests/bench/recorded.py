"""Builders of records as a run writes them."""

from typing import Any

Record = dict[str, Any]


def latency(p50: float = 1.0, p99: float = 2.0, **more: float) -> dict[str, float]:
    return {"count": 1, "mean": p50, "p50": p50, "p90": p99, "p99": p99, "p999": p99, "max": p99, **more}


def point(
    server: str,
    rate: float = 1000.0,
    cpu_us: float = 50.0,
    model: str = "tabular",
    protocol: str = "json",
    load: str = "closed",
    connections: int = 32,
    *,
    steal: float = 0.0,
    lateness: float = 0.0,
    round_number: int = 0,
    **result: Any,
) -> Record:
    good = result.pop("good", 1000)
    timely = result.pop("timely", good)
    figures = {
        "good": good,
        "timely": timely,
        "timely_inside": timely,
        "seconds": 1.0,
        "rate": rate,
        "refused": 0,
        "expired": 0,
        "errors": {},
        "latency_ms": latency(),
        "refusal_ms": latency(0.0, 0.0),
        "lateness_ms": latency(0.0, lateness),
        "cpu_seconds": cpu_us * good / 1e6,
    }
    return {
        "kind": "point",
        "round": round_number,
        "attempt": 0,
        "server": server,
        "model": model,
        "protocol": protocol,
        "load": load,
        "connections": connections,
        "rate_asked": 0.0,
        "steal": steal,
        "mean_batch": None,
        "result": {**figures, **result},
    }


def turn(comparison: str, side: str, number: int, record: Record) -> Record:
    """A side's record of a turn, of what would have been a point's, or of `alone`."""
    kept = {key: value for key, value in record.items() if key not in ("round", "attempt")}
    return {**kept, "kind": "turn", "comparison": comparison, "side": side, "turn": number}


def turns(comparison: str, side: str, *records: Record) -> list[Record]:
    """A side's records of turns 0, 1, 2 and so on."""
    return [turn(comparison, side, number, record) for number, record in enumerate(records)]


def alone(cpu_us: float, batch: int = 8, steal: float = 0.0) -> Record:
    """ONNX Runtime in a loop."""
    return {"server": "onnxruntime", "model": "cnn", "steal": steal, "batch": batch, "cpu_us": cpu_us}
