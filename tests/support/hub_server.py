"""A model hub on the loopback address, whole or failing, for `huggingface_hub`."""

import contextlib
import hashlib
import http.server
import re
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What the hub has and how it fails.

    Attributes:
      files: {name: bytes} of the one model `OWNER/NAME`.
      repository: its name.
      cut: {name: bytes after which its next download breaks off}, used up by it.
      served: (name, first byte) of every download.
    """

    def __init__(self, files, repository="birds/toy"):
        self.files, self.repository = files, repository
        self.cut, self.served = {}, []


def _handler(hub):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *unused):
            pass

        def _answer(self, status, body=b"", **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if "Content_Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _absent(self, code):
            self._answer(404, b"{}", X_Error_Code=code)

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.partition("?")[0]
            wanted = re.fullmatch(rf"/{hub.repository}/resolve/([^/]+)/(.+)", path)
            if wanted is None:
                return self._absent("RepoNotFound")
            if wanted[1] not in ("main", COMMIT):
                return self._absent("RevisionNotFound")
            if wanted[2] not in hub.files:
                return self._absent("EntryNotFound")
            return self._file(wanted[2])

        def _file(self, name):
            data = hub.files[name]
            given = re.fullmatch(r"bytes=(\d+)-.*", self.headers.get("Range", ""))
            first = int(given[1]) if given else 0
            body = data[first:]
            headers = {
                "ETag": f'"{hashlib.sha256(name.encode()).hexdigest()}"',
                "X_Repo_Commit": COMMIT,
                "Accept_Ranges": "bytes",
                "Content_Length": str(len(body)),
            }
            if given:
                headers["Content_Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            if self.command != "HEAD":
                hub.served.append((name, first))
                if name in hub.cut:
                    body = body[: hub.cut.pop(name)]
            self._answer(206 if given else 200, body, **headers)

    return Handler


@contextlib.contextmanager
def serving(hub):
    """The address of a server of a `Hub`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
