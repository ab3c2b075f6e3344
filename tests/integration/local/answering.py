"""A small process to supervise: serves ``/readyz`` on HEADROOM_HTTP__PORT once the file named by its argument exists.

With the argument ``dies`` it ends at once with 7.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = sys.argv[1] == "ready" or Path(sys.argv[1]).exists()
        body = b"{}" if ready else b'{"reasons": ["waiting for a file"]}'
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    print("started", os.getpid(), flush=True)
    if sys.argv[1] == "dies":
        sys.exit("it cannot live")
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["HEADROOM_HTTP__PORT"])), Handler).serve_forever()
