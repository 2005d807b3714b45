"""What the pages and notebooks show runs, and is true."""

import json
import os
import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def examples():
    for page in PAGES:
        found = []
        for kind, code in re.findall(r"<!-- (example|continued) -->\n```python\n(.*?)```", page.read_text(), re.DOTALL):
            found = [*found, code] if kind == "example" else [*found[:-1], found[-1] + code]
        for number, code in enumerate(found):
            yield pytest.param(code, id=f"{page.stem}-{number}")


@pytest.mark.slow
@pytest.mark.usefixtures("ranks_are_promoted")
@pytest.mark.parametrize("code", list(examples()))
def test_example_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "example", "exec"), names)
    if "result" in names:  # the README's: it has to have learned
        assert names["result"].history[-1]["validation_accuracy"] > 0.9
    if "QIF" in names:  # a neuron of one's own: it has to have fired, and its membrane to have been recorded
        assert names["spikes"].sum() > 0
        assert names["seen"]["1.v"].shape == names["spikes"].shape


def test_there_are_examples():
    pages = {param.id.rsplit("-", 1)[0] for param in examples()}
    assert {"README", "neurons"} <= pages


def test_readme_is_short_and_names_both_commands():
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 110
    assert "snnx train digits" in text
    assert re.search(r"<!-- test command -->\n```bash\n.*pytest\n```", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("SNNX_FAST", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_with_its_outputs(path):
    assert path.stat().st_size < 300_000
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert all(c["execution_count"] for c in cells)
    assert any("image/png" in o.get("data", {}) for c in cells for o in c["outputs"])
    assert "assert" in "".join(cells[-1]["source"])
    assert not any("pip install" in "".join(c["source"]) for c in cells)
