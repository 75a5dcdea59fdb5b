"""The ruler in a process of its own, for losses that came from a file: it loads the checkpoint and nothing else.

Reads one JSON object from standard input and prints another: `python -m losslab.evaluate < request.json`.
"""

import json
import sys
from pathlib import Path

from losslab.config import DataConfig, EvaluateConfig, override
from losslab.evaluate.ruler import measure


def main() -> int:
    request = json.load(sys.stdin)
    try:
        result = measure(
            request["checkpoint"], override(DataConfig(), request["data"]),
            override(EvaluateConfig(), request["evaluate"]), device=request["device"],
            partial=Path(request["partial"]),
        )
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
