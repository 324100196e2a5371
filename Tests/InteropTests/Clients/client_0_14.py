"""What users of plantdb.client 0.14 do, against a server of ours.

usage: client_0_14.py PORT ARCHIVE IMAGE FOLDER
Ends with 0 if everything was as it should be, else with a traceback.
"""
import io
import os
import sys
import zipfile

from plantdb.client import rest_api
from plantdb.client.plantdb_client import PlantDBClient

port, archive, image, folder = sys.argv[1:5]
place = {"host": "127.0.0.1", "port": int(port)}

names = rest_api.list_scan_names(**place)
assert "plant_0" in names, names
data = rest_api.get_scan_data("plant_0", **place)
assert data["id"] == "plant_0" and data["metadata"]["nbPhotos"] == 3, data
assert len(rest_api.get_scans_info(**place)) == len(names)
answer = rest_api.get_scan_image("plant_0", "images", "00000_rgb", **place)
assert answer.status_code == 200 and answer.content == open(image, "rb").read()
thumb = rest_api.get_scan_image("plant_0", "images", "00000_rgb", size="thumb", **place)
assert thumb.status_code == 200, thumb

path, message = rest_api.download_scan_archive("plant_0", out_dir=folder, **place)
assert "plant_0/files.json" in zipfile.ZipFile(path).namelist(), message

message = rest_api.upload_scan_archive("sent", archive, **place)
print(message)
assert "sent" in rest_api.list_scan_names(**place)
try:
    again = rest_api.upload_scan_archive("sent", archive, **place)
    assert "already exists" in str(again), again
except Exception as error:
    print("sent again:", type(error).__name__, error)
rest_api.refresh("sent", **place)
rest_api.refresh(**place)
rest_api.upload_dataset_file("sent", image, **place)
# In chunks this release sends each as if it were the file.
told = rest_api.upload_dataset_file("sent", image, chunk_size=10, **place)
assert "error" in told, told

client = PlantDBClient(f"http://127.0.0.1:{port}")
assert set(client.list_scans()) == set(rest_api.list_scan_names(**place))
assert client.create_scan("made", {"object": {"species": "Col-0"}})["id"] == "made"
assert client.list_scans(query='{"object": {"species": "Col-0"}}') == ["made"]
assert client.list_scans(query='{"object": {"species": "col"}}', fuzzy=True) == ["made"]
client.create_fileset("images", "made", {"task": "x"})
client.create_file(image, "a", "jpg", "made", "images", {"channel": "rgb"})
assert client.list_scan_filesets("made")["filesets"] == ["images"]
assert client.list_fileset_files("made", "images")["files"] == ["a"]
client.update_scan_metadata("made", {"note": "n"})
assert client.get_scan_metadata("made")["metadata"]["note"] == "n"
client.update_fileset_metadata("made", "images", {"note": "f"})
assert client.get_fileset_metadata("made", "images")["metadata"]["note"] == "f"
client.update_file_metadata("made", "images", "a", {"pose": [1]})
assert client.get_file_metadata("made", "images", "a", "pose")["metadata"] == [1]
for wrong in (lambda: client.create_scan("made"), lambda: client.get_scan_metadata("nobody")):
    try:
        wrong()
        raise AssertionError("no error")
    except AssertionError:
        raise
    except Exception as error:
        print(type(error).__name__, error)
