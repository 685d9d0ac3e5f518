"""A ComfyUI server with the pack in it, and its page in a browser. Run by ``make test-comfyui``, skipped otherwise.

Set COMFYUI_PATH to an installed ComfyUI; COMFYUI_PYTHON to its Python where that is not in a ``.venv`` or ``venv``
there; CHROMIUM to a browser that is not on the path. With COMFYUI_URL and COMFYUI_BASE set as well, a server that is
up already is used, and left as it is; its base directory must have the pack, and ComfyUI's ``example.png``.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACK = "concept-atelier"
MODELS = (
    "checkpoints/v1-5-pruned-emaonly-fp16.safetensors",
    "clip_vision/clip-vit-large-patch14.safetensors",
    "clip_vision/clip_vision_h.safetensors",
    "diffusion_models/z_image_turbo_bf16.safetensors",
    "loras/first.safetensors",
    "loras/my_lora.safetensors",
    "loras/second.safetensors",
    "text_encoders/clip-vit-large-patch14.safetensors",
    "text_encoders/qwen_3_4b.safetensors",
    "vae/ae.safetensors",
)
"""What the twins name: without them their loaders are red, as they should be. They are listed, and never opened."""
START, RUN = 1200, 3600
WAIT = 1_200_000
"""Seconds that a start and a run may take, and milliseconds that the page may: a busy machine is slow, not broken."""

# In a ComfyUI's own Python, where the other tests of tests/comfyui run, the pack is no package.
collect_ignore_glob = [] if importlib.util.find_spec("concept_atelier") else ["*test_*.py"]

# Starts the command that follows it and ends it when its own input ends: when the tests are over, or were killed.
ENDS_WITH_US = """
import subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
try:
    sys.stdin.read()
finally:
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
"""


@dataclass(frozen=True)
class Server:
    """A running ComfyUI."""

    url: str
    base: Path
    log: Path

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def json(self, path):
        return json.loads(self.get(path))

    def post(self, path, body):
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()[:4000]}") from error

    def run(self, prompt):
        """Queue an API workflow and wait for its history."""
        key = self.post("/prompt", {"prompt": prompt, "client_id": uuid.uuid4().hex})["prompt_id"]
        return self.wait_for(key)

    def wait_for(self, key):
        deadline = time.monotonic() + RUN
        while time.monotonic() < deadline:
            history = self.json(f"/history/{key}")
            if key in history and history[key]["status"].get("status_str"):
                return history[key]
            time.sleep(0.5)
        raise AssertionError(f"the run did not end within {RUN} s; see {self.log}")


@pytest.fixture(scope="session")
def shots():
    """Where screenshots go."""
    folder = ROOT / "output" / "comfyui"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    comfy = os.environ.get("COMFYUI_PATH")
    if not comfy or not os.environ.get("ATELIER_SERVED"):
        pytest.skip("starts a server and a browser: make test-comfyui, with COMFYUI_PATH set")
    if "COMFYUI_URL" in os.environ:
        base = Path(os.environ["COMFYUI_BASE"])
        yield wait_until_up(Server(os.environ["COMFYUI_URL"], base, base / "server.log"))
        return
    base = scratch_base(tmp_path_factory.mktemp("comfyui"))
    port = free_port()
    log = base / "server.log"
    command = [comfy_python(Path(comfy)), "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--disable-auto-launch", "--disable-api-nodes", "--base-directory", str(base)]
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", ENDS_WITH_US, *command], cwd=comfy, stdin=subprocess.PIPE, stdout=out, stderr=out
        )
        try:
            yield wait_until_up(Server(f"http://127.0.0.1:{port}", base, log), process.poll)
        finally:
            process.stdin.close()
            process.wait(60)


@pytest.fixture(scope="session")
def version(server):
    return server.json("/system_stats")["system"]["comfyui_version"]


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    program = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if program is None:
        pytest.skip("needs a Chromium on the path, or CHROMIUM set to one")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@dataclass
class Page:
    """ComfyUI's page, with what its console said, errors nobody caught, and the addresses it loaded."""

    tab: object
    said: list
    uncaught: list
    loaded: list

    def js(self, code, *given):
        return self.tab.evaluate(code, *given)

    def shoot(self, path):
        self.tab.wait_for_timeout(1500)
        self.tab.screenshot(path=str(path))

    def load(self, name):
        """A template of ours, by the route that the template browser uses."""
        self.js(
            """async ([pack, name]) => {
                const answer = await fetch(`/api/workflow_templates/${pack}/${encodeURIComponent(name)}.json`);
                await window.app.loadGraphData(await answer.json(), true, true, name);
            }""",
            [PACK, name],
        )
        self.tab.wait_for_timeout(1500)
        self.js("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.tab.wait_for_timeout(500)

    def run(self, server):
        """Queue what is on the page and wait; gives the run's history."""
        before = set(server.json("/history"))
        self.js("async () => { await window.app.queuePrompt(0, 1); }")
        self.tab.wait_for_timeout(500)
        waiting = server.json("/queue")
        keys = {entry[1] for part in ("queue_running", "queue_pending") for entry in waiting[part]}
        (key,) = (keys | set(server.json("/history"))) - before
        history = server.wait_for(key)
        self.tab.wait_for_timeout(2500)
        return history

    def errors(self):
        """What the console said of our files, and errors that nobody caught."""
        return [text for text in self.said if is_ours(text)] + self.uncaught


@pytest.fixture
def page(server, browser, request):
    language = getattr(request, "param", "en-US")
    server.post("/settings/Comfy.TutorialCompleted", True)
    server.post("/settings/LiteGraph.Canvas.MinFontSizeForLOD", 0)  # words on nodes however far away, for the pictures
    context = browser.new_context(viewport={"width": 1600, "height": 950}, locale=language)
    context.set_default_timeout(WAIT)
    tab = context.new_page()
    opened = Page(tab, [], [], [])
    tab.on("console", lambda m: opened.said.append(f"{m.text} ({m.location})") if m.type == "error" else None)
    tab.on("pageerror", lambda error: opened.uncaught.append(error.stack or str(error)))
    tab.on("response", lambda r: opened.loaded.append(r.url) if r.status < 400 else None)
    tab.goto(server.url)
    tab.wait_for_function("() => window.app?.graph && window.app?.extensionManager")
    tab.wait_for_timeout(4000)
    # Errors of the page's own, with no pack installed as well, are not ours to test.
    opened.uncaught[:] = filter(is_ours, opened.uncaught)
    yield opened
    context.close()


def is_ours(text):
    return any(name in text for name in (PACK, "ConceptAtelier", "concept_atelier"))


def scratch_base(folder):
    """An empty base directory with the pack linked in; its pictures it must bring itself."""
    for name in ("embeddings", "loras"):
        (folder / "models" / name).mkdir(parents=True)
    for name in MODELS:
        file = folder / "models" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for name in ("custom_nodes", "input", "output", "user", "temp"):
        (folder / name).mkdir()
    # ComfyUI's own example picture, which it keeps in the input folder that a base directory replaces.
    shutil.copyfile(next(ROOT.glob("workflows/input/*.png")), folder / "input" / "example.png")
    (folder / "custom_nodes" / PACK).symlink_to(ROOT, target_is_directory=True)
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def comfy_python(comfy):
    found = (comfy / name / "bin/python" for name in (".venv", "venv"))
    return os.environ.get("COMFYUI_PYTHON") or next((str(p) for p in found if p.exists()), sys.executable)


def wait_until_up(server, ended=lambda: None):
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and ended() is None:
        with contextlib.suppress(OSError):
            server.json("/system_stats")
            return server
        time.sleep(1)
    said = server.log.read_text()[-4000:] if server.log.exists() else ""
    raise AssertionError(f"no ComfyUI at {server.url} after {START} s:\n{said}")
