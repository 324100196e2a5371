"""dump.py FILE... : answer those files whose bytes are not what Python's json writes for their value."""
import json
import sys

import upstream

different = []
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        found = file.read()
    expected = json.dumps(json.loads(found), sort_keys=True, indent=4, separators=(",", ": ")).encode()
    if found != expected:
        different.append({"file": path, "found": found.decode(), "expected": expected.decode()})
upstream.answer(different)
