import Testing

@Suite struct ExemplarNetworkPlaceholder {}
