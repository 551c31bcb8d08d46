"""The workflows and what they publish: pinned, whole, and with what the tests need."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from support.requirements import tool
from support.tools import load

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
USES = re.compile(r"^\s*(?:- )?uses: (\S+?)(?:@(\S+))?(?: # (\S+))?$", re.MULTILINE)


def settings() -> dict[str, Any]:
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)


def test_each_action_is_one_commit_with_its_version_beside_it() -> None:
    assert WORKFLOWS
    commits = defaultdict(set)
    for path in WORKFLOWS:
        text = path.read_text()
        uses = USES.findall(text)
        assert len(uses) == text.count("uses:")
        for action, commit, version in uses:
            assert re.fullmatch(r"[0-9a-f]{40}", commit), f"{path.name}: {action}@{commit}"
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), f"{path.name}: {action} # {version}"
            commits[action].add((commit, version))
    assert [action for action, found in commits.items() if len(found) > 1] == []


def test_a_wheel_is_tested_with_what_is_there() -> None:
    wheels = settings()["tool"]["cibuildwheel"]
    assert [path for path in wheels["test-sources"] if not (ROOT / path).exists()] == []
    # The tests as such; a container may have a directory without them.
    assert wheels["test-command"].endswith(" tests")


def whole_release() -> set[str]:
    release = load("check_release")
    name = f"mmapbuilder-{release.version()}"
    middles = {"manylinux": "2014", "musllinux": "_1_2", "macosx": "_11_0"}
    wheels = {
        f"{name}-{python}-{begin}{middles[begin]}{end}.whl"
        for python in release.PYTHONS
        for begin, end in release.PLATFORMS
    }
    return wheels | {f"{name}.tar.gz"}


def test_a_whole_release_has_no_faults() -> None:
    release = load("check_release")
    assert release.faults(whole_release(), f"v{release.version()}") == []
    assert release.faults(whole_release()) == []


def test_a_release_that_lacks_a_file_is_refused() -> None:
    release = load("check_release")
    for name in whole_release():
        (fault,) = release.faults(whole_release() - {name})
        assert fault.startswith("there ")


def test_a_release_with_a_file_too_many_is_refused() -> None:
    release = load("check_release")
    assert release.faults(whole_release() | {"other.whl"}) == ["nobody asked for other.whl"]


def test_a_tag_that_is_not_the_version_is_refused() -> None:
    release = load("check_release")
    (fault,) = release.faults(whole_release(), "v99.0")
    assert "the tag is v99.0" in fault


def test_the_page_of_platforms_is_what_the_runs_left() -> None:
    platforms = load("platforms")
    runs = platforms.merged(platforms.json.loads(platforms.KEPT.read_text()), Path("/nowhere"))
    assert platforms.page(runs) == platforms.PAGE.read_text(), "run `make platforms`"


def test_a_look_for_packages_leaves_the_variables_of_a_tool_alone() -> None:
    """Or the tool notes a wrong list of what it has made, and makes all of it anew each time."""
    tool("dpkg-query", "dpkg")
    names = ["package", "wanted", "packages", "needed", "version", "root", "prefix", "python"]
    code = "; ".join(
        [
            *("name=test", ". tools/common.sh", *(f"{name}=kept" for name in names)),
            "need_packages dpkg",
            *(f'echo "${name}"' for name in names),
        ]
    )
    done = subprocess.run(
        ["sh", "-euc", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["kept"] * len(names)
