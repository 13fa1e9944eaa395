"""The source of the PostgreSQL 15 that is installed, for its tests: that of the Debian package of its version, got by apt and kept.

    postgres15_source.folder("src/test/isolation/specs")
"""

import os
import pathlib
import subprocess
import tempfile

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "colonnade" / "postgres15-source"
KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCES = f"""deb-src [signed-by={KEY}] http://deb.debian.org/debian bookworm main
deb-src [signed-by={KEY}] http://deb.debian.org/debian-security bookworm-security main
"""


def folder(path):
    """A folder of the source tree, as a path in the cache."""
    version = subprocess.run(["dpkg-query", "-W", "-f", "${source:Version}", "postgresql-15"], check=True, capture_output=True, text=True).stdout
    tree = CACHE / version
    if not (tree / path).is_dir():
        tree.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="postgres15-source-") as work:
            _download(version, pathlib.Path(work))
            archive = next(pathlib.Path(work).glob("postgresql-15_*.orig.tar.*"))
            subprocess.run(["tar", "-xf", archive, "-C", tree, "--strip-components=1", "--wildcards", f"*/{path}/*"], check=True)
    return tree / path


def _download(version, work):
    """With lists of its own: the machine's sources need not name source packages, and are left as they are."""
    (work / "sources.list").write_text(SOURCES)
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "cache" / "archives" / "partial").mkdir(parents=True)
    options = [f"Dir::Etc::sourcelist={work}/sources.list", "Dir::Etc::sourceparts=-", f"Dir::State::lists={work}/lists",
               f"Dir::Cache={work}/cache", "APT::Sandbox::User=root"]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    for command in (["update"], ["source", "--download-only", f"postgresql-15={version}"]):
        done = subprocess.run([*apt, *command], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise SystemExit(f"apt-get {command[0]} for PostgreSQL 15's source (Debian 12):\n{done.stdout}")
