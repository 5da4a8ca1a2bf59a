import Testing

@Suite struct BatchingPlaceholder {}
