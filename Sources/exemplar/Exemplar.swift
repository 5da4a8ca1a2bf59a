@main struct Exemplar { static func main() { print("exemplar") } }
