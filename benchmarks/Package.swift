// swift-tools-version: 6.2
import PackageDescription

let rules: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The probes are compiled once per instruction set, with the flags of the kernels that they are the measure of.
func probes(_ name: String, _ architecture: [String], defining symbols: [String] = []) -> Target {
    .target(
        name: name,
        swiftSettings: rules
            + symbols.map { .define($0) }
            + [.unsafeFlags(architecture + ["-Ounchecked"])]
    )
}

#if arch(x86_64)
    let probeTargets: [Target] = [
        probes("ProbesPortable", []),
        probes("ProbesAVX2", ["-Xcc", "-march=x86-64-v3"], defining: ["PROBES_AVX2"]),
        probes("ProbesAVX512", ["-Xcc", "-march=x86-64-v4"], defining: ["PROBES_AVX512"]),
    ]
#else
    let probeTargets: [Target] = [probes("ProbesPortable", [])]
#endif

let package = Package(
    name: "benchmarks",
    products: [.executable(name: "bench", targets: ["bench"])],
    dependencies: [.package(name: "exemplar", path: "..")],
    targets: [
        .systemLibrary(name: "CAffinity"),
        .executableTarget(
            name: "bench",
            dependencies: ["CAffinity", .product(name: "ExemplarNetwork", package: "exemplar")]
                + probeTargets.map { .init(stringLiteral: $0.name) },
            swiftSettings: rules),
    ] + probeTargets,
    swiftLanguageModes: [.v6]
)
