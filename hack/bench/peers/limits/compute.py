"""ONNX Runtime in a loop, nothing else: what the model alone costs. Prints one JSON object per batch size.

The rows come as an .npz file with one array per input; they are cut into batches as they are.
"""

import itertools
import json
import os
import sys
import time

import numpy as np
import onnxruntime


def main(rows_path: str, seconds: float, sizes: list[int]) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
    rows = dict(np.load(rows_path))
    count = min(len(value) for value in rows.values())
    for size in sizes:
        batches = [
            {name: value[at : at + size] for name, value in rows.items()} for at in range(0, count - size + 1, size)
        ]
        for batch in batches[:3]:
            session.run(None, batch)
        done, begun, used = 0, time.perf_counter(), time.process_time()
        for batch in itertools.cycle(batches):
            session.run(None, batch)
            done += size
            if time.perf_counter() - begun >= seconds:
                break
        wall, used = time.perf_counter() - begun, time.process_time() - used
        with open("/proc/self/status", encoding="ascii") as status:
            resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        figures = {
            "batch": size,
            "rows": done,
            "seconds": wall,
            "cpu_us": used / done * 1e6,
            "rss_mib": resident / 1024,
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), [int(size) for size in sys.argv[3:]])
