import Glibc

/// Whether the tests run under a sanitizer, which makes debug builds ten times slower.
public let isInstrumented = getenv("EXEMPLAR_SANITIZE") != nil
