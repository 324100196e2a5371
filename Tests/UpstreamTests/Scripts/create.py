"""create.py DATABASE : fill a database (a folder with its marker) through upstream's own API."""
import json
import os
import sys
import tempfile

import upstream

path = sys.argv[1]
database = upstream.connect(path)

values = {
    "object": {"species": "Solanum lycopersicum", "note": "\u00e9t\u00e9 \u2603 \U0001f331", "DAG": 40},
    "hardware": {"frame": "30profile v1", "X_motor": None},
    "acquisition_date": "2024-05-01T10:11:12.5",
    "numbers": [0, -1, 0.1, 1e-05, 1e16, 1e22, 123456789012345678901234567890, 1.0, -0.0],
    "odd": {"nan": float("nan"), "inf": float("inf"), "minus": float("-inf"), "empty": {}, "none": []},
    "text": "quote \" backslash \\ slash / tab \t newline \n del \x7f",
}
scan = database.create_scan("plant_a", metadata=dict(values))
images = scan.create_fileset("images")
images.set_metadata({"Task": "acquisition", "channels": ["rgb", "mask"]})
for number in range(3):
    image = images.create_file(f"{number:05d}_rgb")
    image.write_raw(bytes([255, 216, number]) * 1000, "jpg")
    image.set_metadata({"channel": "rgb", "pose": [number / 3, 1e-7 * number, 90.0]})
    image.set_metadata("shot_id", number)

cloud = scan.create_fileset("PointCloud_1_0_Voxels-x")
points = cloud.create_file("PointCloud")
points.write("ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "ply")
with tempfile.TemporaryDirectory() as folder:
    own = os.path.join(folder, "Angles.json")
    with open(own, "w") as file:
        json.dump({"angles": [137.5, 90], "source": "\u00e9"}, file)
    cloud.create_file("angles").import_file(own)
# Measures have no setter in the API; their owners write the file.
with open(os.path.join(path, "plant_a", "measures.json"), "w") as file:
    json.dump({"angles": [137.5, 1.0], "internodes": [12.25]}, file)

second = database.create_scan("plant-b")
second.create_fileset("images").create_file("0").write_raw(b"\x00", "png")
second.create_fileset("nothing_yet")
second.set_metadata("state", "growing")

upstream.answer(upstream.listing(database))
database.disconnect()
