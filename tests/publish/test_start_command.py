"""``goemo publish --start`` on folders whose servers are small stand-ins: what it prints, and how
it ends.
"""

from pathlib import Path

import pytest

from goemo_utils import cli

SERVER = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWERS = {answers}

class Handler(BaseHTTPRequestHandler):
    def _say(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self._say(200, {{"status": "ready"}})
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(*ANSWERS.get(self.path, (404, "no such address")))
    def log_message(self, *said):
        pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit({ends_with}))
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
LABELS = [[{"label": "joy", "score": 0.91}, {"label": "love", "score": 0.2}]]


def published(folder: Path, answers: dict[str, tuple[int, object]], ends_with: int = 0) -> Path:
    """A folder with a deploy.sh whose server gives these answers by address."""
    folder.mkdir()
    program = SERVER.format(answers=repr(answers), ends_with=ends_with)
    (folder / "server.py").write_text(program, encoding="utf-8")
    start = 'exec "$PYTHON" "$(dirname "$0")/server.py"\n'
    (folder / "deploy.sh").write_text(start, encoding="utf-8")
    return folder


def start(folder: Path, *more: str) -> int:
    return cli.main(["publish", "--start", str(folder), *more])


def test_it_says_that_it_runs_the_folder_and_what_it_was_answered(tmp_path, capsys) -> None:
    folder = published(tmp_path / "port", {"/predict": (200, LABELS)})
    assert start(folder) == 0
    said = capsys.readouterr().out
    assert f"Running {folder / 'deploy.sh'} on cpu: this runs what is in the folder." in said
    assert "It answered POST /predict after" in said
    assert "(joy 0.910), and stopped." in said


def test_an_encoder_is_asked_for_its_numbers(tmp_path, capsys) -> None:
    folder = published(tmp_path / "port", {"/embed": (200, [[0.25, -1.5]])})
    assert start(folder) == 0
    assert "It answered POST /embed" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [(200, {"joy": 1}), (200, []), (500, "no"), (404, "no")])
def test_what_is_no_answer_is_told_and_ends_with_2(tmp_path, capsys, answer) -> None:
    folder = published(tmp_path / "port", {"/predict": answer})
    assert start(folder) == 2
    assert f"gave {answer[0]} and" in capsys.readouterr().err


def test_a_server_that_does_not_stop_well_is_told(tmp_path, capsys) -> None:
    folder = published(tmp_path / "port", {"/predict": (200, LABELS)}, ends_with=7)
    assert start(folder) == 2
    assert "deploy.sh ended with code 7 when it was stopped" in capsys.readouterr().err


def test_one_that_ends_at_once_is_told_with_its_last_words(tmp_path, capsys) -> None:
    folder = tmp_path / "port"
    folder.mkdir()
    (folder / "deploy.sh").write_text("echo no weights here; exit 3\n", encoding="utf-8")
    assert start(folder) == 2
    assert "ended with code 3 before it answered. Its last words: no weights here" in (
        capsys.readouterr().err
    )


def test_a_folder_without_deploy_sh_and_two_tasks_at_once_are_refused(tmp_path, capsys) -> None:
    assert start(tmp_path) == 2
    assert "There is no deploy.sh" in capsys.readouterr().err
    assert start(tmp_path, "--check", str(tmp_path)) == 2
    assert "name one of them" in capsys.readouterr().err


def test_the_folder_itself_is_left_as_it_was(tmp_path) -> None:
    folder = published(tmp_path / "port", {"/predict": (200, LABELS)})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert start(folder) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
