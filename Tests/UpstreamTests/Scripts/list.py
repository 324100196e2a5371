"""list.py [--with-users] [--ids] DATABASE... : open each and answer what it holds, or why it cannot be opened."""
import sys

import upstream

arguments = sys.argv[1:]
with_users = "--with-users" in arguments
only_ids = "--ids" in arguments
for path in arguments:
    if path.startswith("--"):
        continue
    try:
        database = upstream.connect(path, with_users=with_users)
    except BaseException as error:  # SystemExit too: the answer is that it does not open
        upstream.answer({"opened": False, **upstream.told(error)})
        continue
    held = sorted(database.list_scans(owner_only=False)) if only_ids else upstream.listing(database)
    try:
        database.disconnect()
        upstream.answer({"opened": True, "scans": held})
    except Exception as error:  # 0.16 and later, with a scan whose "filesets" is no list
        upstream.answer({"opened": True, "scans": held, "disconnecting": upstream.told(error)})
