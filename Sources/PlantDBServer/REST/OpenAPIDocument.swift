import PlantDBCore

/// The description of the REST API in OpenAPI 3.1, made from the routes themselves.
struct OpenAPIDocument: Sendable {
    let entries: [RouteTable.Entry]
    let version: String
    /// Before every path: empty, or with a slash at its beginning.
    let prefix: String

    var json: JSONValue {
        var paths = JSONObject()
        for entry in entries {
            guard let about = entry.about else { continue }
            let (path, parameters) = Self.path("/" + entry.path)
            var operations = paths[path]?.object ?? JSONObject()
            operations[entry.method.rawValue.lowercased()] = operation(entry, about, parameters)
            paths[path] = .object(operations)
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "PlantDB REST API of plantdb serve", "version": .string(version),
                "description":
                    "The calls of PlantDB 0.14 at the root, and those of 0.16 and later below api/v1.",
            ],
            "paths": .object(paths),
            "components": ["securitySchemes": ["bearer": ["type": "http", "scheme": "bearer"]]],
        ]
    }

    /// `:name` and `**` become `{name}` and `{path}`.
    private static func path(_ route: String) -> (String, [String]) {
        var names: [String] = []
        let parts = route.split(separator: "/", omittingEmptySubsequences: false).map { part -> String in
            guard part.hasPrefix(":") || part == "**" else { return String(part) }
            let name = part == "**" ? "path" : String(part.dropFirst())
            names.append(name)
            return "{\(name)}"
        }
        return (parts.joined(separator: "/"), names)
    }

    private func operation(
        _ entry: RouteTable.Entry, _ about: RouteDescription, _ names: [String]
    ) -> JSONValue {
        func parameter(_ name: String, in place: String) -> JSONValue {
            [
                "name": .string(name), "in": .string(place), "required": .bool(place == "path"),
                "schema": ["type": "string"],
            ]
        }
        var operation = JSONObject([
            ("summary", .string(about.summary)),
            (
                "parameters",
                .array(
                    names.map { parameter($0, in: "path") } + about.query.map { parameter($0, in: "query") })
            ),
            (
                "responses",
                [
                    "2XX": ["description": "as asked"],
                    "4XX": ["description": "refused: the body has the reason, as message and as error"],
                    "5XX": ["description": "not offered (501), or not possible now (503, 507)"],
                ] as JSONValue
            ),
        ])
        if entry.policy != .anybody { operation["security"] = [["bearer": []], [:]] }
        if let body = body(about.body) { operation["requestBody"] = body }
        return .object(operation)
    }

    private func body(_ body: RouteDescription.Body) -> JSONValue? {
        func object(_ names: [String], _ schema: JSONValue) -> [(String, JSONValue)] {
            names.map { ($0.hasSuffix("?") ? String($0.dropLast()) : $0, schema) }
        }
        func required(_ names: [String]) -> JSONValue {
            .array(names.filter { !$0.hasSuffix("?") }.map(JSONValue.string))
        }
        switch body {
        case .none: return nil
        case .json(let keys):
            let schema: JSONValue = [
                "type": "object", "properties": .object(JSONObject(object(keys, [:]))),
                "required": required(keys),
            ]
            return ["content": ["application/json": ["schema": schema]]]
        case .form(let fields, let files):
            let properties = JSONObject(
                object(fields, ["type": "string"]) + object(files, ["type": "string", "format": "binary"]))
            let schema: JSONValue = [
                "type": "object", "properties": .object(properties), "required": required(fields + files),
            ]
            return ["required": true, "content": ["multipart/form-data": ["schema": schema]]]
        case .raw:
            return [
                "required": true,
                "content": ["application/octet-stream": ["schema": ["type": "string", "format": "binary"]]],
            ]
        }
    }
}
