"""The protocol between compare.py and a process that is measured.

The process says what it is in one line of JSON, then answers each line with a number on stdin by running so many times: the
seconds of each run, the loss where there is one, and the process's peak memory.
"""

import json
import resource
import sys
import time
import types


def settings():
    """What compare.py wants, from the command line."""
    return types.SimpleNamespace(**json.loads(sys.argv[1]))


def serve(run, about):
    """`run()` does what is to be timed, and returns the loss or None."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries talk
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(int(line)):
            start = time.perf_counter()
            loss = run()
            seconds.append(time.perf_counter() - start)
            losses.append(loss)
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = {"seconds": seconds, "loss": [x for x in losses if x is not None], "peak_bytes": peak}
        print(json.dumps(answer), file=answers, flush=True)
