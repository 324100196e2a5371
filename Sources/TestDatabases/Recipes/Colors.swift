/// The colours of the classes of a ``ClassMap``: 0 background, 1 ... 3 surroundings, then
/// every organ in four shades.
enum Colors {
    static let classCount = 24

    /// - Parameter surroundings: of the classes 0 ... 3.
    static func rgb(surroundings: [[UInt8]]) -> [[UInt8]] {
        let organs: [PlantModel.Organ: [UInt8]] = [
            .stem: [96, 118, 62], .leaf: [74, 112, 40], .pedicel: [128, 142, 66], .fruit: [168, 176, 80],
            .flower: [222, 224, 208],
        ]
        return (0..<classCount).map { number in
            if number < surroundings.count { return surroundings[number] }
            guard let organ = ClassMap.organ(of: UInt8(number)), let color = organs[organ] else {
                return [0, 0, 0]
            }
            // 70, 85, 100 and 115 %.
            let percent = 70 + 15 * (number & 3)
            return color.map { UInt8(min(255, Int($0) * percent / 100)) }
        }
    }
}
