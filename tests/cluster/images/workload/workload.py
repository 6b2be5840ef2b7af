"""A pod's errands: rest, serve HTTP, fetch a page, look up a name, connect, use memory, write and read a file."""

import http.server
import os
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path


class _Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ready = self.path != "/ready" or Path("/tmp/ready").exists()
        body = f"{os.environ.get('HOSTNAME', '')}\n".encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(errand: str, *words: str) -> None:
    """Do the errand."""
    # The first process of a container has no default handler for it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if errand == "rest":
        signal.pause()
    elif errand == "serve":
        http.server.ThreadingHTTPServer(("", int(words[0])), _Page).serve_forever()
    elif errand == "fetch":
        with urllib.request.urlopen(words[0], timeout=float(words[1]) if words[1:] else 3) as answer:
            print(answer.read().decode().strip())
    elif errand == "lookup":
        print(socket.gethostbyname(words[0]))
    elif errand == "connect":
        socket.create_connection((words[0], int(words[1])), timeout=2).close()
    elif errand == "say":
        print(*words)
    elif errand == "write":
        Path(words[0]).write_text(words[1])
    elif errand == "read":
        print(Path(words[0]).read_text().strip())
    elif errand == "eat":
        print(len(b"x" * (int(words[0]) * 2**20)))
        time.sleep(1)
    else:
        sys.exit(f"no such errand: {errand}")


main(*sys.argv[1:])
