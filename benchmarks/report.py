"""How soon a report is to be seen in a browser, and how large its file is.

    dnnrun report runs/bn_elu runs/clip -o report.html
    python benchmarks/report.py report.html [--rounds 5]

Each round opens the page from disk in a headless Chromium with a profile of its own, and asks it when it painted
something for the first time (`performance.getEntriesByType("paint")`, milliseconds from the beginning of the
navigation) and when its script had drawn everything. What the console says is counted: a report has nothing to say.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --window-size=1200,900"
)
# Headless Chromium ends as soon as the page has loaded, painted or not: a picture that comes late keeps it waiting.
PROBE = """<script>
const drawn = performance.now();
function told() {
  const paints = Object.fromEntries(performance.getEntriesByType("paint").map(e => [e.name, e.startTime]));
  if (!("first-paint" in paints)) { setTimeout(told, 20); return; }
  document.body.append(
    Object.assign(document.createElement("pre"), {id: "probe", textContent: JSON.stringify({...paints, drawn})}));
}
told();
</script><img src="http://127.0.0.1:@PORT@/late.png" alt="">"""
LATE = 2.0  # seconds


class Late(BaseHTTPRequestHandler):
    """Answers with nothing, late."""

    def do_GET(self) -> None:
        time.sleep(LATE)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium here: apt-get install chromium")
    if not options.page.is_file():
        sys.exit(f"{options.page}: no such file; write one with dnnrun report RUN... -o {options.page}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    probe = PROBE.replace("@PORT@", str(server.server_port))
    rounds, said = [], 0
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            page.write_text(options.page.read_text("utf-8").replace("</body>", probe + "</body>"), "utf-8")
            command = [browser, *FLAGS.split(), f"--user-data-dir={folder}/profile", "--dump-dom", f"file://{page}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        found = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout)
        if not found:
            sys.exit(f"the browser painted nothing:\n{done.stderr}")
        rounds.append(json.loads(found[0]))
        said += done.stderr.count("CONSOLE")
    print(f"{options.page.stat().st_size / 2**20:.2f} MiB, {said} lines of the console in {len(rounds)} rounds")
    for name in sorted(rounds[0]):
        values = [entry[name] for entry in rounds]
        print(f"{name}: {median(values):.0f} ms, {min(values):.0f} to {max(values):.0f}")


if __name__ == "__main__":
    main()
