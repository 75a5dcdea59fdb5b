"""The evaluator in a separate process, which has run no loss file and is given the specification and the weights alone.

Reads one JSON object from standard input, as `evaluator.measure_run` takes it, and prints another. It is started by
`losslab.processes.isolated`, so that neither the environment nor the working directory reaches it.
"""

import json
import sys

from losslab.evaluate.evaluator import measure_run

CANNOT = 2  # a sentence on standard error says why


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    if "threads" in request:
        import torch

        torch.set_num_threads(request["threads"])
    try:
        found = measure_run(request)
    except ValueError as error:
        print(error, file=sys.stderr)
        return CANNOT
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
