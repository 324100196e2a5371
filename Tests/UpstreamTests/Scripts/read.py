"""read.py DATABASE : open and read everything again and again until the input ends; answer what went wrong.

Files whose name ends in .raw hold one byte repeated, so that a mixture of two contents shows.
"""
import json
import os
import sys
import threading

import upstream

path = sys.argv[1]
ended = threading.Event()
threading.Thread(target=lambda: (upstream.wait_for_end_of_input(), ended.set()), daemon=True).start()
result = {"rounds": 0, "failures": [], "absent": [], "torn": [], "counts": {}}


def note(kind, what):
    if len(result[kind]) < 10:
        result[kind].append(what)


def read(database):
    for name in sorted(database.list_scans(owner_only=False)):
        scan = database.scans[name]
        seen = 0
        for fileset in scan.get_filesets():
            for file in fileset.get_files():
                seen += 1
                try:
                    content = file.read_raw()
                except FileNotFoundError:
                    note("absent", f"{name}/{fileset.id}/{file.filename}")
                    continue
                if file.filename.endswith(".raw") and len(set(content)) != 1:
                    note("torn", f"{name}/{fileset.id}/{file.filename}")
        counts = result["counts"].setdefault(name, [])
        if seen not in counts:
            counts.append(seen)


while True:
    # Asked before, so that the last round begins after everything is done.
    is_last = ended.is_set()
    try:
        read(upstream.connect(path, unsafe=True))
    except Exception as error:
        note("failures", upstream.told(error))
    result["rounds"] += 1
    if result["rounds"] == 1:
        upstream.answer({"reading": True})
    if is_last:
        break
upstream.answer(result)
