"""Makes the endpoint C{papa:NAME} known."""

from papa.client.endpoint import HeldEndpointParser

held_socket = HeldEndpointParser()
