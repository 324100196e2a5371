import ArgumentParser
import GRDB
@main struct P { static func main() {} }
