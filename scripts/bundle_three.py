"""Bundle the parts of three.js that the web page uses into one file: ``ex4d/web/page/three.min.js``.

    python scripts/bundle_three.py

Needs npm, which fetches three.js and esbuild in the versions below into a temporary folder. The file is committed, so
that nobody else needs it; the same versions give the same bytes. three.js is MIT-licensed (LICENSES/MIT-three.txt),
and the file says so at its end.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "ex4d" / "web" / "page" / "three.min.js"
LICENCE = ROOT / "LICENSES" / "MIT-three.txt"
THREE, ESBUILD = "0.187.0", "0.28.2"
PARTS = """
BufferGeometry CustomBlending DoubleSide GLSL3 Group LinearSRGBColorSpace Matrix4 MaxEquation Mesh MinEquation
NearestFilter NoBlending NoColorSpace OneFactor PerspectiveCamera RGBAIntegerFormat RawShaderMaterial Scene
UnsignedIntType Vector4 VideoTexture WebGLRenderTarget WebGLRenderer
"""


def main() -> int:
    """Bundle; returns the exit code."""
    npm = shutil.which("npm")
    if npm is None:
        print("bundle_three: npm is not installed; the committed three.min.js stays.", file=sys.stderr)
        return 1
    entry = f'export {{ {", ".join(PARTS.split())} }} from "three";\n'
    entry += 'export { OrbitControls } from "three/addons/controls/OrbitControls.js";\n'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "entry.js").write_text(entry, encoding="utf-8")
        (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
        subprocess.run([npm, "install", "--silent", f"three@{THREE}", f"esbuild@{ESBUILD}"], cwd=folder, check=True)
        options = ["--bundle", "--minify", "--format=iife", "--global-name=THREE", "--legal-comments=eof"]
        esbuild = folder / "node_modules" / ".bin" / "esbuild"
        subprocess.run(
            [esbuild, "entry.js", *options, "--log-level=warning", f"--outfile={TARGET}"], cwd=folder, check=True
        )
        for copy in (LICENCE, TARGET.with_name("three.LICENSE")):
            shutil.copyfile(folder / "node_modules" / "three" / "LICENSE", copy)
    text = TARGET.read_text(encoding="utf-8")
    TARGET.write_text(f"/* three.js {THREE}, bundled by scripts/bundle_three.py. */\n{text}", encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}  {TARGET.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
