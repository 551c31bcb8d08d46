"""A server that speaks S3, on loopback: moto's. It prints its port, and runs until it is killed.

It answers one request at a time. moto looks whether a file is there, and stores it then, in
two steps; a store that keeps the promise of If-None-Match makes one of them.
"""

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app))
print(server.server_port, flush=True)
server.serve_forever()
