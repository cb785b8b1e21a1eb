"""`python -m loadkit.server.demo`: what `running_demo` starts, told by JSON what `serve_announced` takes.

For people there is `loadkit demo`, which imports all of the command line for it: 0.3 s of CPU, of which this takes 0.1.
"""

from __future__ import annotations

import json
import sys

from loadkit.plan.errors import UsageError
from loadkit.server.demo.serving import serve_announced

try:
    serve_announced(**json.loads(sys.argv[1]))
except UsageError as error:
    sys.stderr.write(f"loadkit: {error}\n")
    sys.exit(error.exit_code)
