import Testing

@Suite struct ExemplarServerPlaceholder {}
