import Testing

@Suite struct SafetensorsPlaceholder {}
