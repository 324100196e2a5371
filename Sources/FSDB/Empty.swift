import GRDB
import NIOPosix
import Crypto
