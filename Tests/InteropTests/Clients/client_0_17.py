"""What users of plantdb.client 0.17 do, against a server of ours.

usage: client_0_17.py PORT ARCHIVE IMAGE FOLDER PASSWORD
Ends with 0 if everything was as it should be, else with a traceback.
"""
import sys
import zipfile

from plantdb.client.plantdb_client import PlantDBClient
from plantdb.client.rest_api import requests as calls

port, archive, image, folder, password = sys.argv[1:6]
host = f"http://127.0.0.1:{port}"

# Nobody has logged in: reading is open on this machine, writing is not.
names = calls.request_scan_names_list(host)
assert "plant_0" in names, names
data = calls.request_scan_data(host, "plant_0")
assert data["id"] == "plant_0", data
assert len(calls.request_scans_info(host)) == len(names)
answer = calls.request_scan_image(host, "plant_0", "images", "00000_rgb")
assert answer[-1] == open(image, "rb").read(), answer[:-1]
downloaded = calls.request_archive_download(host, "plant_0", out_dir=folder)
print(downloaded)
path = downloaded[0] if isinstance(downloaded, tuple) else downloaded
assert "files.json" in zipfile.ZipFile(path).namelist()
assert calls.request_check_username(host, "anna") is True
assert calls.request_check_username(host, "otto") is False

client = PlantDBClient(host)
try:
    client.create_scan("refused")
    raise AssertionError("a scan was made by nobody")
except AssertionError:
    raise
except Exception as error:
    print(type(error).__name__, error)
assert client.login("anna", "wrong") is False
assert client.login("anna", password) is True
assert client.create_scan("made", {"object": {"species": "Col-0"}})["id"] == "made"
assert client.list_scans(query='{"object": {"species": "Col-0"}}') == ["made"]
client.create_fileset("images", "made")
client.create_file(image, "a", "jpg", "made", "images", {"channel": "rgb"})
assert client.list_scan_filesets("made")["filesets"] == ["images"]
assert client.list_fileset_files("made", "images")["files"] == ["a"]
client.update_scan_metadata("made", {"note": "n"})
assert client.get_scan_metadata("made")["metadata"]["note"] == "n"
assert client.get_scan_metadata("made")["metadata"]["owner"] == "anna"
client.update_file_metadata("made", "images", "a", {"pose": [1]})
assert client.get_file_metadata("made", "images", "a", "pose")["metadata"] == [1]
assert client.refresh() is not None
assert client.refresh_token() is True
assert client.create_scan("after_refresh")["id"] == "after_refresh"
from plantdb.commons.auth.models import Permission

token = client.create_api_token(3600, {"made": (Permission.READ,)})
assert token, token
program = PlantDBClient(host, api_token=token)
assert program.get_scan_metadata("made")["metadata"]["note"] == "n"
for scan in ("plant_0",):
    try:
        program.get_scan_metadata(scan)
        raise AssertionError("a limited token read another scan")
    except AssertionError:
        raise
    except Exception as error:
        print(type(error).__name__, error)
assert client.logout()
try:
    client.create_scan("after_logout")
    raise AssertionError("a scan was made after the logout")
except AssertionError:
    raise
except Exception as error:
    print(type(error).__name__, error)

# This release sends no file with an archive's upload: it must not believe that it did.
try:
    told = calls.request_archive_upload(host, "sent", archive)
    assert not told or told[0] is False, told
except AssertionError:
    raise
except Exception as error:
    print(type(error).__name__, error)
assert "sent" not in calls.request_scan_names_list(host)
