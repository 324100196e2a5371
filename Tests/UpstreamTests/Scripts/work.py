"""work.py DATABASE KIND : what a lab does in a night, through upstream's own API.

KIND: acquire (the scanner takes one more image), compute (a pipeline adds a fileset, a person corrects metadata).
"""
import sys

import upstream

path, kind = sys.argv[1:]
database = upstream.connect(path)
scan = database.get_scan("plant_a")
if kind == "acquire":
    image = scan.get_fileset("images").create_file("late_rgb")
    image.write_raw(bytes([255, 216, 99]) * 1000, "jpg")
    image.set_metadata({"channel": "rgb"})
else:
    mesh = scan.create_fileset("Mesh_1")
    mesh.create_file("mesh").write_raw(b"days of work", "ply")
    scan.set_metadata("genotype", "corrected")
upstream.answer({"done": kind})
database.disconnect()
