"""A hub on 127.0.0.1: the routes that huggingface_hub asks, and a line that can break."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves {(name, revision): {file: bytes}}; remembers what was asked.

    `breaks` counts down the GETs of files above 1 kB that end after three fifths.
    """

    def __init__(self, models):
        self.models = models
        self.asked = []  # (method, file, Range header)
        self.tokens = []  # Authorization headers
        self.breaks = 0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                hub.answer(self, "HEAD")

            def do_GET(self):
                hub.answer(self, "GET")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def got(self, method="GET"):
        """Files that were asked for."""
        return [file for how, file, _ in self.asked if how == method]

    def answer(self, request, method):
        path = request.path.partition("?")[0]
        self.tokens.append(request.headers.get("Authorization"))
        info = re.fullmatch(r"/api/models/((?:[^/]+/)?[^/]+)(?:/revision/(.+))?", path)
        if info:
            return self.send_info(request, info[1], info[2] or "main")
        tree = re.fullmatch(r"/api/models/((?:[^/]+/)?[^/]+)/tree/([^/]+)", path)
        if tree:
            return self.send_tree(request, tree[1], tree[2])
        file = re.fullmatch(r"/((?:[^/]+/)?[^/]+)/resolve/([^/]+)/(.+)", path)
        if file:
            return self.send_file(request, method, *file.groups())
        return self.refuse(request, "EntryNotFound")

    def files(self, name, revision):
        return self.models.get((name, "main" if revision == COMMIT else revision))

    def send_info(self, request, name, revision):
        if not any(known == name for known, _ in self.models):
            return self.refuse(request, "RepoNotFound", 401)
        files = self.files(name, revision)
        if files is None:
            return self.refuse(request, "RevisionNotFound")
        listed = [{"rfilename": file} for file in files]
        body = json.dumps({"id": name, "modelId": name, "sha": COMMIT, "siblings": listed})
        return self.send(request, body.encode(), {"Content-Type": "application/json"})

    def send_tree(self, request, name, revision):
        """What huggingface_hub 2 asks before it fetches."""
        files = self.files(name, revision) or {}
        listed = [
            {"type": "file", "path": file, "size": len(x), "oid": hashlib.sha1(x).hexdigest()}
            for file, x in files.items()
        ]
        body = json.dumps(listed).encode()
        return self.send(request, body, {"Content-Type": "application/json"})

    def send_file(self, request, method, name, revision, file):
        wanted = request.headers.get("Range")
        self.asked.append((method, file, wanted))
        content = (self.files(name, revision) or {}).get(file)
        if content is None:
            return self.refuse(request, "EntryNotFound")
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        if method == "HEAD":
            return self.send(request, content, headers, body=False)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.breaks > 0 and len(content) > 1000
        self.breaks -= cut
        return self.send(request, content[start:], headers, 206 if start else 200, cut=cut)

    def send(self, request, content, headers, status=200, body=True, cut=False):
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(content[: len(content) * 3 // 5] if cut else content)
        request.close_connection = request.close_connection or cut

    def refuse(self, request, code, status=404):
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()
