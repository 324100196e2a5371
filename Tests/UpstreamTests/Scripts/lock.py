"""lock.py DATABASE [SCAN shared|exclusive SECONDS] : take a lock, say so, keep it until the input ends.

Without SCAN the whole database, by connecting (0.14); with SCAN through the lock manager (0.15 and later),
waiting at most SECONDS.
"""
import sys

import upstream

path = sys.argv[1]
try:
    if upstream.HAS_DATABASE_LOCK:
        database = upstream.connect(path)
        upstream.answer({"held": True})
        upstream.wait_for_end_of_input()
        database.disconnect()
    else:
        from plantdb.commons.fsdb.lock import LockLevel, LockType

        scan, kind, seconds = sys.argv[2:]
        locks = upstream.connect(path).lock_manager
        with locks.acquire_lock(scan, LockType(kind), user="driver", level=LockLevel.SCAN, timeout=float(seconds)):
            upstream.answer({"held": True})
            upstream.wait_for_end_of_input()
    upstream.answer({"held": False})
except Exception as error:
    upstream.answer({"held": False, **upstream.told(error)})
