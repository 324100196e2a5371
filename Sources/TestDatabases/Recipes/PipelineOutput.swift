import PlantDBCore

/// What the reconstruction tasks from `Voxels` to `AnglesAndInternodes` leave.
///
/// A task's fileset is named by the task, its first three parameters, and ten digits of the
/// MD5 of all its parameters. The names of `real_plant_analyzed` are the genuine ones, as
/// upstream's documentation shows them; those of the virtual plant are formed by the same
/// rule from the published configuration of its pipeline, and may differ from the genuine.
struct PipelineOutput: Sendable {
    enum Kind: Sendable {
        case real
        case virtual
    }

    enum Step: Sendable {
        case anglesAndInternodes
        case treeGraph
        case curveSkeleton
        case triangleMesh
        case pointCloud
        case voxels
        case masks
        case colmap
        case undistorted

        var task: String {
            switch self {
            case .anglesAndInternodes: "AnglesAndInternodes"
            case .treeGraph: "TreeGraph"
            case .curveSkeleton: "CurveSkeleton"
            case .triangleMesh: "TriangleMesh"
            case .pointCloud: "PointCloud"
            case .voxels: "Voxels"
            case .masks: "Masks"
            case .colmap: "Colmap"
            case .undistorted: "Undistorted"
            }
        }
    }

    let scan: String
    let plant: PlantModel
    let measures: Measures
    let detail: TestDatabaseOptions.Detail
    let kind: Kind
    let seed: UInt64

    private var isReal: Bool { kind == .real }
    private var voxelSize: Double { isReal ? 0.5 : 0.06 }

    private var filesetID: [Step: String] {
        [
            .anglesAndInternodes: isReal
                ? "AnglesAndInternodes_1_0_2_0_6_0_6dd64fc595" : "AnglesAndInternodes_1_0_2_0_0_7_c064c65c8c",
            .treeGraph: "TreeGraph__False_CurveSkeleton_c304a2cc71",
            .curveSkeleton: "CurveSkeleton__TriangleMesh_0393cb5708",
            .triangleMesh: "TriangleMesh_9_most_connected_t_open3d_00e095c359",
            .pointCloud: isReal ? "PointCloud_1_0_1_0_10_0_7ee836e5a9" : "PointCloud_1_0_0_0_10_0_ca07eb2790",
            .voxels: isReal
                ? "Voxels___x____300__450__colmap_camera_False_2a093f0ccc"
                : "Voxels_null_camera_True_3ac228a591",
            .masks: "Masks_1__0__1__0____channel____rgb_5619aa428d",
            .colmap: "Colmap_True_null_SIMPLE_RADIAL_ffcef49fdc",
            .undistorted: "Undistorted_SIMPLE_RADIAL_Colmap__a333f181b7",
        ]
    }

    func fileset(_ step: Step, files: [ScanRecipe.File], extra: JSONObject = [:]) -> ScanRecipe.Fileset {
        var parameters = parameters(of: step)
        parameters["scan_id"] = .string(scan)
        var metadata: JSONObject = ["task_name": .string(step.task), "task_params": .object(parameters)]
        metadata.merge(extra)
        // Every step has a name.
        return ScanRecipe.Fileset(id: filesetID[step] ?? step.task, metadata: .object(metadata), files: files)
    }

    private func parameters(of step: Step) -> JSONObject {
        switch step {
        case .anglesAndInternodes:
            [
                "characteristic_length": 1.0, "min_elongation_ratio": 2.0,
                "min_fruit_size": isReal ? 6.0 : 0.7,
                "node_sampling_dist": isReal ? 10.0 : 2.0, "organ_type": "fruit", "stem_axis": 2,
                "stem_axis_inverted": "False", "upstream_task": "TreeGraph",
            ]
        case .treeGraph: ["stem_axis_inverted": "False", "upstream_task": "CurveSkeleton", "z_axis": 2]
        case .curveSkeleton: ["upstream_task": "TriangleMesh"]
        case .triangleMesh:
            [
                "depth": 9, "filtering": "most connected triangles", "library": "open3d",
                "upstream_task": "PointCloud",
            ]
        case .pointCloud:
            [
                "background_prior": 1.0, "level_set_value": isReal ? 1.0 : 0.0, "min_contrast": 10.0,
                "min_score": 0.2, "upstream_task": "Voxels",
            ]
        case .voxels:
            [
                "bounding_box": isReal ? ["x": [300, 450], "y": [300, 450], "z": [-175, 105]] : .null,
                "camera_metadata": isReal ? "colmap_camera" : "camera", "invert": isReal ? "False" : "True",
                "labels": [], "log": "True", "query": isReal ? [:] : ["channel": "background"],
                "type": "carving", "upstream_colmap": isReal ? "Colmap" : "DummyTask",
                "upstream_mask": isReal ? "Masks" : "ImagesFilesetExists", "voxel_size": .number(voxelSize),
            ]
        case .masks:
            [
                "dilation": 1, "parameters": [0, 1, 0], "query": ["channel": "rgb"], "threshold": 0.2,
                "type": "linear", "upstream_task": "Undistorted",
            ]
        case .colmap:
            [
                "align_pcd": "True", "alignment_max_error": 10, "bounding_box": .null,
                "camera_model": "SIMPLE_RADIAL", "compute_dense": "False", "matcher": "exhaustive",
                "single_camera": "True", "upstream_task": "ImagesFilesetExists", "use_gpu": "True",
            ]
        case .undistorted:
            [
                "camera_model": "SIMPLE_RADIAL", "camera_model_src": "Colmap",
                "upstream_task": "ImagesFilesetExists",
            ]
        }
    }

    /// The filesets from the measures back to the voxels.
    var modelFilesets: [ScanRecipe.Fileset] {
        let plant = plant
        let detail = detail
        let volume = VoxelVolume(
            isReal ? (300...450, 300...450, -175...105) : VirtualPlantViews.boundingBox,
            voxelSize: detail.voxelSize(voxelSize))
        let measurement = PlantMeasurement(plant: plant, measures: measures)
        func single(
            _ step: Step, _ suffix: String, metadata: JSONValue?, _ content: @escaping @Sendable () -> [UInt8]
        )
            -> ScanRecipe.Fileset
        {
            fileset(
                step,
                files: [
                    ScanRecipe.File(
                        id: step.task, name: step.task + suffix, metadata: metadata, content: content)
                ])
        }
        func json(_ id: String, _ value: @escaping @Sendable () -> JSONValue) -> ScanRecipe.File {
            ScanRecipe.File(id: id, name: id + ".json", metadata: nil) {
                value().pythonBytes(sortedKeys: false)
            }
        }
        return [
            fileset(
                .anglesAndInternodes,
                files: [
                    json("fruit_direction") { measurement.fruitDirections },
                    json("stem_direction") { measurement.stemDirections },
                    json("AnglesAndInternodes") { measurement.sequence },
                ]),
            single(.treeGraph, ".p", metadata: nil) { measurement.treeGraph },
            single(.curveSkeleton, ".json", metadata: nil) {
                measurement.skeleton.pythonBytes(sortedKeys: false)
            },
            single(.triangleMesh, ".ply", metadata: nil) {
                PLYWriter.mesh(SurfaceMesh(of: plant, vertexCount: detail.points(46_000)))
            },
            single(.pointCloud, ".ply", metadata: ["voxel_size": .number(volume.voxelSize)]) {
                let mesh = SurfaceMesh(of: plant, vertexCount: detail.points(58_000))
                return PLYWriter.pointCloud(mesh.vertices, normals: mesh.normals)
            },
            single(
                .voxels, ".tiff",
                metadata: ["origin": volume.origin.json, "voxel_size": .number(volume.voxelSize)]
            ) { volume.tiff(of: plant) },
        ]
    }

    /// `pipeline.toml`, the backup of the configuration that was run.
    var configuration: String {
        var configuration = Configuration()
        if isReal {
            configuration.table(
                "Colmap",
                [
                    "upstream_task": .text("ImagesFilesetExists"), "matcher": .text("exhaustive"),
                    "compute_dense": .truth(false), "align_pcd": .truth(true), "use_gpu": .truth(true),
                    "single_camera": .truth(true), "alignment_max_error": .whole(10),
                ])
            configuration.table("Undistorted", ["upstream_task": .text("ImagesFilesetExists")])
            configuration.table(
                "Masks",
                [
                    "upstream_task": .text("Undistorted"), "query": .text("{\"channel\":\"rgb\"}"),
                    "type": .text("linear"), "parameters": .text("[0, 1, 0]"), "dilation": .whole(1),
                    "binarize": .truth(true), "threshold": .real(0.2),
                ])
        }
        configuration.table(
            "Voxels",
            [
                "upstream_mask": .text(isReal ? "Masks" : "ImagesFilesetExists"),
                "upstream_colmap": .text(isReal ? "Colmap" : "DummyTask"),
                "camera_metadata": .text(isReal ? "colmap_camera" : "camera"), "voxel_size": .real(voxelSize),
                "type": .text("carving"), "invert": .truth(!isReal),
            ])
        if isReal {
            configuration.table(
                "Voxels.bounding_box",
                ["x": .list([300, 450]), "y": .list([300, 450]), "z": .list([-175, 105])])
        }
        configuration.table(
            "PointCloud", ["upstream_task": .text("Voxels"), "level_set_value": .real(isReal ? 1.0 : 0.0)])
        configuration.table(
            "TriangleMesh",
            [
                "upstream_task": .text("PointCloud"), "library": .text("open3d"),
                "filtering": .text("most connected triangles"), "depth": .whole(9),
            ])
        configuration.table("CurveSkeleton", ["upstream_task": .text("TriangleMesh")])
        configuration.table(
            "TreeGraph",
            [
                "upstream_task": .text("CurveSkeleton"), "z_axis": .whole(2),
                "stem_axis_inverted": .truth(false),
            ])
        configuration.table(
            "AnglesAndInternodes",
            [
                "upstream_task": .text("TreeGraph"), "characteristic_length": .real(1.0),
                "stem_axis_inverted": .truth(false),
            ])
        configuration.returnCodes()
        return configuration.text
    }
}
