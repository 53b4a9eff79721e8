"""A web server on the socket that it is handed over; told to end, it finishes what it was asked before."""

from twisted.application.service import Application, Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.protocols.policies import WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

VERSION = "version 1"


class Hello(Resource):
    isLeaf = True

    def render_GET(self, request):
        reactor.callLater(0.05, self.answer, request)  # As if there were something to do for it.
        return NOT_DONE_YET

    def answer(self, request):
        request.setHeader("Content-Type", "text/plain")
        request.write(f"{VERSION}\n".encode())
        request.finish()


class Draining(WrappingFactory):
    """Knows its connections, and waits for the last."""

    empty = None

    def unregisterProtocol(self, protocol):
        super().unregisterProtocol(protocol)
        if self.empty is not None and not self.protocols:
            self.empty.callback(None)

    async def drain(self):
        self.empty = Deferred()
        if self.protocols:
            await self.empty


class Server(Service):
    def privilegedStartService(self):
        # A connection on which nothing is asked is closed after ten seconds.
        self.factory = Draining(Site(Hello(), timeout=10))
        return Deferred.fromCoroutine(self.listen())

    async def listen(self):
        self.port = await serverFromString(reactor, "systemd:domain=INET:index=0").listen(self.factory)
        print(f"site serves {VERSION}", flush=True)

    def stopService(self):
        return Deferred.fromCoroutine(self.finish())

    async def finish(self):
        await self.port.stopListening()
        await self.factory.drain()


application = Application("site")
Server().setServiceParent(application)
