"""The Blender extension served by the backend: real HTTP, Blender's own tool, and a real Blender that installs it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from backend.test_start import one_sentence, start
from ex4d_backend.extensions import ExtensionServer
from ex4d_backend.settings import load_settings
from ex4d_ground.errors import InputError, SettingError

MANIFEST = """schema_version = "1.0.0"
id = "ex4d"
version = "0.1.0"
name = "EX-4D"
tagline = "Re-shoot a video"
maintainer = "Somebody"
type = "add-on"
website = "https://example.org"
tags = ["Camera"]
license = ["SPDX:GPL-3.0-or-later"]
copyright = ["2026 Somebody"]
blender_version_min = "{minimum}"
blender_version_max = "{maximum}"
platforms = ["linux-x64"]
wheels = []

[permissions]
network = "Talk to a backend"
"""
CODE = "def register():\n    print('it is registered')\n\n\ndef unregister():\n    pass\n"
NEEDS_BLENDER = pytest.mark.skipif(find_spec("bpy") is None, reason="needs the bpy wheel")


def write_zip(folder: Path, name: str, *, minimum: str = "4.2.0", maximum: str = "9.0.0") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("blender_manifest.toml", MANIFEST.format(minimum=minimum, maximum=maximum))
        archive.writestr("__init__.py", CODE)
    return path


def write_index(folder: Path) -> Path:
    """What Blender's own tool writes, for these zips; a test compares the two."""
    entries = []
    for path in sorted(folder.glob("ex4d-*.zip")):
        with zipfile.ZipFile(path) as archive:
            entry = tomllib.loads(archive.read("blender_manifest.toml").decode())
        entry = {key: value for key, value in entry.items() if value != []}  # this one has no wheels
        entry |= {"archive_url": f"./{path.name}", "archive_size": path.stat().st_size}
        entries.append(entry | {"archive_hash": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"})
    index = folder / "index.json"
    index.write_text(json.dumps({"version": "v1", "blocklist": [], "data": entries}))
    return index


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "zips"
    folder.mkdir()
    write_zip(folder, "ex4d-0.1.0-linux-x64-py3.11.zip")
    write_index(folder)
    (tmp_path / "secret.txt").write_text("not for clients")
    (folder / "notes.txt").write_text("not listed")
    (folder / "unlisted.zip").write_bytes(b"PK not listed")
    (folder / "inner").mkdir()
    return folder


@pytest.fixture
def served(folder):
    server = ExtensionServer(folder, "127.0.0.1", 0)
    yield server
    server.close()


def get(server: ExtensionServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    """The path as it is given, which urllib would tidy."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_index_lists_the_zips_by_their_manifests(served, folder):
    index = json.loads(urllib.request.urlopen(served.url, timeout=20).read())
    assert (index["version"], index["blocklist"]) == ("v1", [])
    (entry,) = index["data"]
    data = (folder / "ex4d-0.1.0-linux-x64-py3.11.zip").read_bytes()
    assert entry["archive_url"] == "./ex4d-0.1.0-linux-x64-py3.11.zip"
    assert (entry["archive_size"], entry["archive_hash"]) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert (entry["id"], entry["platforms"], entry["blender_version_min"]) == ("ex4d", ["linux-x64"], "4.2.0")
    status, body = get(served, "/" + entry["archive_url"].removeprefix("./"))
    assert (status, body) == (200, data)
    assert get(served, "/index.json", "HEAD") == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/notes.txt",
        "/unlisted.zip",
        "/inner",
        "/inner/",
        "/INDEX.JSON",
        "//etc/passwd",
        "/./ex4d-0.1.0-linux-x64-py3.11.zip",
        "/%00",
        "/ex4d-0.1.0-linux-x64-py3.11.zip/",
        "/" + "a" * 4000,
    ],
)
def test_nothing_else_is_served(served, path):
    status, body = get(served, path)
    assert status == 404 and not body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_reading_is_possible(served, method):
    assert get(served, "/index.json", method)[0] == 501


def test_a_zip_that_is_added_replaced_or_not_listed_is_seen(served, folder):
    write_zip(folder, "ex4d-0.1.0-linux-x64-py3.13.zip", minimum="5.1.0")
    assert get(served, "/ex4d-0.1.0-linux-x64-py3.13.zip")[0] == 404
    write_index(folder)
    names = [e["archive_url"] for e in json.loads(get(served, "/index.json")[1])["data"]]
    assert names == ["./ex4d-0.1.0-linux-x64-py3.11.zip", "./ex4d-0.1.0-linux-x64-py3.13.zip"]
    assert get(served, "/ex4d-0.1.0-linux-x64-py3.13.zip")[0] == 200
    (folder / "ex4d-0.1.0-linux-x64-py3.13.zip").unlink()
    assert get(served, "/ex4d-0.1.0-linux-x64-py3.13.zip") == (404, b"")
    write_index(folder)
    assert len(json.loads(get(served, "/index.json")[1])["data"]) == 1


@pytest.mark.parametrize("url", ["./../secret.txt", "../secret.txt", "/etc/passwd", "http://elsewhere/x.zip", "inner"])
def test_an_index_that_names_other_files_does_not_open_them(served, folder, url):
    index = json.loads((folder / "index.json").read_text())
    index["data"].append({**index["data"][0], "archive_url": url})
    (folder / "index.json").write_text(json.dumps(index))
    for path in ("/../secret.txt", "/%2e%2e%2fsecret.txt", "/etc/passwd", "/x.zip", "/inner"):
        assert get(served, path) == (404, b"")
    assert get(served, "/ex4d-0.1.0-linux-x64-py3.11.zip")[0] == 200


def test_a_folder_without_the_extension_and_another_address_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        ExtensionServer(tmp_path / "nowhere", "127.0.0.1", 0)
    (tmp_path / "empty").mkdir()
    for text in (None, "no json", "[]", '{"data": [{}]}', '{"data": 3}', '{"data": []}'):
        if text is not None:
            (tmp_path / "empty" / "index.json").write_text(text)
        with pytest.raises(InputError, match=r"holds no index\.json"):
            ExtensionServer(tmp_path / "empty", "127.0.0.1", 0)
    config = tmp_path / "backend.toml"
    config.write_text(f'[extensions]\nfolder = "{folder}"\naddress = "0.0.0.0:7766"\n')
    with pytest.raises(SettingError, match="web server with TLS"):
        load_settings(config, environment={})
    assert "web server with TLS" in one_sentence(start("--config", str(config), "--check-config"))


def test_a_backend_serves_it_when_asked_to(make_backend, folder, tmp_path, unused_address):
    address = unused_address.removeprefix("tcp://")
    config = tmp_path / "backend.toml"
    config.write_text(f'[extensions]\nfolder = "{folder}"\naddress = "{address}"\n')
    server = make_backend(arguments=["--config", str(config)]).start()
    url = f"http://{address}/index.json"
    assert json.loads(urllib.request.urlopen(url, timeout=20).read())["data"][0]["id"] == "ex4d"
    assert server.stop() == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def blender_tool() -> Path:
    spec = find_spec("bpy")
    assert spec is not None and spec.origin is not None
    (tool,) = Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    return tool


@NEEDS_BLENDER
@pytest.mark.blender
def test_the_index_that_blenders_own_tool_makes_is_served_as_it_is(folder):
    ours = json.loads((folder / "index.json").read_text())
    for name in ("notes.txt", "unlisted.zip", "index.json"):
        (folder / name).unlink()
    command = [sys.executable, str(blender_tool()), "server-generate", f"--repo-dir={folder}"]
    subprocess.run(command, check=True, capture_output=True)
    made = (folder / "index.json").read_bytes()
    assert ours.items() <= json.loads(made).items(), "5.3 says more of the repository, and nothing else of the zips"
    server = ExtensionServer(folder, "127.0.0.1", 0)
    try:
        assert get(server, "/index.json") == (200, made)
        assert server.versions == {"0.1.0"}
    finally:
        server.close()


@NEEDS_BLENDER
@pytest.mark.blender
def test_a_real_blender_installs_the_extension_from_the_backend(served, tmp_path):
    script = f"""
import bpy
bpy.context.preferences.system.use_online_access = True
repos = bpy.context.preferences.extensions.repos
repo = repos.new(name="EX-4D", module="ex4d_backend", remote_url={served.url!r})
repo.use_remote_url = True
index = list(repos).index(repo)
assert bpy.ops.extensions.repo_sync(repo_index=index) == {{"FINISHED"}}
assert bpy.ops.extensions.package_install(repo_index=index, pkg_id="ex4d", enable_on_install=True) == {{"FINISHED"}}
print("enabled:", "bl_ext.ex4d_backend.ex4d" in bpy.context.preferences.addons)
"""
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "blender")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is registered" in done.stdout
    assert "enabled: True" in done.stdout
