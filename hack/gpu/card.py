"""The machine that figures come from: the card, its driver, ONNX Runtime's build."""

import os
import platform
import subprocess

import onnxruntime as ort


def card(device: str) -> str:
    """The card's name, as it goes into the report's file name too; the processor's architecture without one."""
    if device == "cpu":
        return f"{platform.machine()} CPU"
    return _asked("name") or "unknown GPU"


def described(device: str) -> dict[str, str]:
    """What there is to know of the machine, by its name in the report."""
    told = {"ONNX Runtime": ort.__version__, "CPUs": str(len(os.sched_getaffinity(0))), "kernel": platform.release()}
    if device != "cpu":
        asked = {"driver": "driver_version", "memory": "memory.total", "clock limit": "clocks.max.sm"}
        told |= {name: _asked(field) for name, field in asked.items()}
        told["CUDA of the build"] = str(getattr(ort, "cuda_version", "")) or "unknown"
    return told


def _asked(field: str) -> str:
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except OSError:
        return ""
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else ""
