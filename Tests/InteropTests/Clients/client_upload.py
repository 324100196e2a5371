"""The raw upload of plantdb.client 0.15 to 0.17, which sends an empty JSON object and not the file.

usage: client_upload.py PORT FILE
Ends with 0 if the client was told that the file was not taken.
"""
import sys

from plantdb.client import rest_api as calls

if not hasattr(calls, "request_dataset_file_upload"):
    from plantdb.client.rest_api import requests as calls

port, path = sys.argv[1:3]
for host in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
    for chunk_size in (0, 100):
        told = calls.request_dataset_file_upload(host, "plant_0", path, chunk_size)
        print(told)
        assert "error" in told, told
