"""A server in a process of its own, and what a client asks of it."""

import base64
import json
import re
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

COMMAND = (sys.executable, "-m", "numpy_erniem", "serve")


class Server:
    """A server in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--model", f"m={folder}", "--port", "0", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.statuses: list[int] = []
        for line in self.process.stderr:
            if '"listening"' in line:
                self.url = urlsplit(json.loads(line)["address"])
                break
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        """Read the log, so that its pipe is never full; the statuses of vectors are kept."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if '"/v1/embeddings"' in line:
                self.statuses.append(json.loads(line)["status"])

    def connect(self) -> HTTPConnection:
        """A connection that is kept."""
        return HTTPConnection(self.url.hostname or "", self.url.port, timeout=600)

    @property
    def resident(self) -> float:
        """Memory of the process in MB, mapped weights included."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(found[1]) / 1024 if found else float("nan")

    @property
    def files(self) -> int:
        """Files and sockets that the process has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def answers(self) -> int:
        """How many answers the log has, once no more come: it is written after one is sent."""
        count = -1
        while count != len(self.statuses):
            count = len(self.statuses)
            time.sleep(0.2)
        return count

    def stop(self) -> int:
        """End by SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(600)
        self.reader.join(60)
        return code


def ask(connection: HTTPConnection, texts: str | list[str]) -> tuple[int, bytes]:
    """Status and body of the response for some texts."""
    body = json.dumps({"input": texts, "encoding_format": "base64"})
    connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()


def vectors_of(body: bytes) -> np.ndarray:
    """The vectors of a response."""
    rows = [base64.b64decode(row["embedding"]) for row in json.loads(body)["data"]]
    return np.array([np.frombuffer(row, "<f4") for row in rows])
