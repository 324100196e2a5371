"""What the drivers share: answers on stdout, and one way to open a database with either release."""
import functools
import hashlib
import importlib.metadata
import json
import os
import sys

# Upstream logs to both outputs, so answers get a stdout of their own: one JSON document a line.
_answers = os.fdopen(os.dup(1), "w", encoding="ascii")
os.dup2(2, 1)

RELEASE = importlib.metadata.version("plantdb.commons")
HAS_DATABASE_LOCK = RELEASE.startswith("0.14.")

# Every opening makes accounts, and nearly all of its time would go into hashing their passwords.
if HAS_DATABASE_LOCK:
    import bcrypt

    bcrypt.gensalt = functools.partial(bcrypt.gensalt, rounds=4)
    from plantdb.commons.fsdb import FSDB
else:
    import argon2

    argon2.PasswordHasher = functools.partial(argon2.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    from plantdb.commons.fsdb.core import FSDB


def answer(value):
    _answers.write(json.dumps(value) + "\n")
    _answers.flush()


def told(error):
    return {"error": type(error).__name__, "message": str(error)}


def connect(path, with_users=False, unsafe=False):
    """Open a database as a program of this release does.

    with_users: 0.17 reads (and makes) users.json too, and nobody is logged in.
    unsafe: 0.14 takes no lock; such a connection must not be disconnected, or it removes others'.
    """
    if HAS_DATABASE_LOCK:
        database = FSDB(path)
        database.connect(unsafe=unsafe)
    else:
        database = FSDB(path, no_auth=not with_users, log_level="ERROR")
        database.connect()
    return database


def scans_of(database):
    return [database.get_scan(name) for name in sorted(database.list_scans(owner_only=False))]


def listing(database, with_content=True):
    """Everything a user of the library sees: ids, names, metadata, and digests of the content."""
    return [
        {
            "id": scan.id,
            "metadata": scan.get_metadata(),
            "measures": scan.get_measures(),
            "filesets": [
                {
                    "id": fileset.id,
                    "metadata": fileset.get_metadata(),
                    "files": [
                        {
                            "id": file.id,
                            "file": file.filename,
                            "metadata": file.get_metadata(),
                            "sha256": hashlib.sha256(file.read_raw()).hexdigest() if with_content else None,
                        }
                        for file in fileset.get_files()
                    ],
                }
                for fileset in scan.get_filesets()
            ],
        }
        for scan in scans_of(database)
    ]


def wait_for_end_of_input():
    sys.stdin.read()
