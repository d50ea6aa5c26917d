"""What runs in a fresh process: call a function of this folder and write what it returns.

Worker processes do not import a file of this name, and so start no later because of it.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

module, function, arguments, answer = sys.argv[1:]
result = getattr(import_module(module), function)(*json.loads(arguments))
Path(answer).write_text(json.dumps(result), encoding="utf-8")
