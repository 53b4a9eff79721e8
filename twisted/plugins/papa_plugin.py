"""Makes C{twistd papa} known."""

from twisted.application.service import ServiceMaker

papa = ServiceMaker("papa", "papa.tap", "A process kernel: holds sockets, values and processes.", "papa")
