// swift-tools-version: 6.2
import PackageDescription

// The sanitizers bring an allocator of their own, so sanitizer builds leave jemalloc out:
// EXEMPLAR_SANITIZE=1 swift test --sanitize=address --scratch-path .build-asan
let usesJemalloc = Context.environment["EXEMPLAR_SANITIZE"] == nil

// The fuzz targets are built by Tests/Fuzz/run alone: they need flags that nothing else may have.
let fuzzes = Context.environment["EXEMPLAR_FUZZ"] != nil

/// The rules of the house, held by the compiler.
let rules: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// One kernel source, compiled once per instruction set. `-Ounchecked` takes the overflow and exclusivity checks
/// out of the inner loops, in debug builds too: there the schedules that call the kernels assert their bounds.
func kernels(_ name: String, _ architecture: [String], defining symbols: [String] = []) -> Target {
    .target(
        name: name,
        dependencies: ["KernelInterface", "CPlatform"],
        swiftSettings: rules
            + symbols.map { .define($0) }
            + [.unsafeFlags(architecture + ["-Ounchecked"])]
    )
}

#if arch(x86_64)
    let kernelTargets: [Target] = [
        kernels("KernelsPortable", []),
        kernels("KernelsAVX2", ["-Xcc", "-march=x86-64-v3"], defining: ["KERNELS_AVX2"]),
        kernels("KernelsAVX512", ["-Xcc", "-march=x86-64-v4"], defining: ["KERNELS_AVX512"]),
    ]
#else
    let kernelTargets: [Target] = [kernels("KernelsPortable", [])]
#endif
let kernelNames: [Target.Dependency] = kernelTargets.map { .init(stringLiteral: $0.name) }

let package = Package(
    name: "exemplar",
    products: [
        .executable(name: "exemplar", targets: ["exemplar"]),
        .library(name: "ExemplarClient", targets: ["ExemplarClient", "JSONRPC"]),
        .library(name: "ExemplarNetwork", targets: ["ExemplarNetwork", "KernelInterface", "Platform"]),
    ] + (fuzzes ? [.library(name: "FuzzTargets", type: .static, targets: ["FuzzTargets"])] : []),
    targets: [
        // C libraries, by their headers alone.
        .systemLibrary(name: "CJemalloc", pkgConfig: "jemalloc", providers: [.apt(["libjemalloc-dev"])]),
        .systemLibrary(name: "CMicrohttpd", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
        .systemLibrary(name: "CPlatform"),
        .systemLibrary(name: "CNettle", pkgConfig: "nettle", providers: [.apt(["nettle-dev"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "spng", providers: [.apt(["libspng-dev"])]),
        .systemLibrary(name: "CJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"])]),
        .systemLibrary(name: "CWebP", pkgConfig: "libwebp", providers: [.apt(["libwebp-dev"])]),

        // The system.
        .target(name: "Platform", dependencies: ["CPlatform"], swiftSettings: rules),

        // Numbers.
        .target(name: "KernelInterface", swiftSettings: rules),
        .target(
            name: "Tensors", dependencies: usesJemalloc ? ["CJemalloc"] : [],
            swiftSettings: rules + (usesJemalloc ? [.define("JEMALLOC")] : [])),
        .target(name: "Safetensors", swiftSettings: rules),
        .target(name: "Transformations", swiftSettings: rules),
        .target(
            name: "ExemplarNetwork",
            dependencies: [
                "CPlatform", "CNettle", "Platform", "KernelInterface", "Tensors", "Safetensors", "Transformations",
            ]
                + kernelNames,
            swiftSettings: rules),
        .target(name: "Images", dependencies: ["CPNG", "CJPEG", "CWebP"], swiftSettings: rules),

        // Serving.
        .target(
            name: "Batching", dependencies: ["CPlatform"],
            // Generic over the job and the clock: optimised for the server's own, or each call looks types up.
            swiftSettings: rules + [.unsafeFlags(["-cross-module-optimization"], .when(configuration: .release))]),
        .target(name: "JSONRPC", dependencies: ["Transformations"], swiftSettings: rules),
        .target(
            name: "ExemplarServer",
            dependencies: [
                "CMicrohttpd", "CPlatform", "Platform", "Batching", "JSONRPC", "ExemplarNetwork", "Images",
                "KernelInterface",
                "Tensors", "Transformations",
            ],
            swiftSettings: rules),
        .target(name: "ExemplarClient", dependencies: ["CPlatform", "Platform", "JSONRPC"], swiftSettings: rules),
        .executableTarget(
            name: "exemplar",
            dependencies: [
                "Batching", "CPlatform", "ExemplarServer", "ExemplarClient", "ExemplarNetwork", "Images", "JSONRPC",
                "KernelInterface", "Platform", "Safetensors", "Transformations",
            ],
            swiftSettings: rules),

        // Tests mirror the targets.
        .target(
            name: "TestSupport", dependencies: ["ExemplarNetwork", "Safetensors", "Transformations"],
            path: "Tests/TestSupport",
            // The oracle is plain loops over doubles: optimised they take a hundredth of the time.
            swiftSettings: rules + [.unsafeFlags(["-O"])]),
        .testTarget(
            name: "KernelsTests", dependencies: ["TestSupport", "KernelInterface", "ExemplarNetwork"] + kernelNames,
            swiftSettings: rules),
        .testTarget(name: "PlatformTests", dependencies: ["Platform"], swiftSettings: rules),
        .testTarget(name: "TensorsTests", dependencies: ["TestSupport", "Tensors"], swiftSettings: rules),
        .testTarget(name: "SafetensorsTests", dependencies: ["TestSupport", "Safetensors"], swiftSettings: rules),
        .testTarget(
            name: "TransformationsTests", dependencies: ["TestSupport", "Transformations"], swiftSettings: rules),
        .testTarget(
            name: "ExemplarNetworkTests",
            dependencies: [
                "TestSupport", "ExemplarNetwork", "KernelInterface", "Platform", "Safetensors", "Tensors",
                "Transformations",
            ],
            swiftSettings: rules),
        .testTarget(name: "ImagesTests", dependencies: ["TestSupport", "Images"], swiftSettings: rules),
        .testTarget(
            name: "BatchingTests", dependencies: ["TestSupport", "Batching", "Platform"], swiftSettings: rules),
        .testTarget(
            name: "JSONRPCTests", dependencies: ["TestSupport", "JSONRPC", "Transformations"], swiftSettings: rules),
        .testTarget(
            name: "ExemplarServerTests",
            dependencies: [
                "TestSupport", "exemplar", "Batching", "CPlatform", "ExemplarServer", "ExemplarClient",
                "ExemplarNetwork", "Images", "JSONRPC", "KernelInterface", "Platform", "Safetensors", "Tensors",
                "Transformations",
            ],
            swiftSettings: rules),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "TestSupport", "exemplar", "CPlatform", "ExemplarClient", "ExemplarNetwork", "ExemplarServer", "Images",
                "JSONRPC", "KernelInterface", "Platform", "Safetensors", "Transformations",
            ],
            swiftSettings: rules),
    ] + kernelTargets
        + (fuzzes
            ? [
                .target(
                    name: "FuzzTargets", dependencies: ["ExemplarNetwork", "Images", "JSONRPC", "Safetensors"],
                    path: "Tests/Fuzz/Targets", swiftSettings: rules)
            ] : []),
    swiftLanguageModes: [.v6]
)
