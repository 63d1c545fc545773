# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._backstage.host_probe import (
    Request,
    command,
    host_problems,
    missing_packages,
    parse,
    pgdg_repository,
    root_problems,
    unreachable_problems,
)

LIBRARIES = ("psycopg2", "yaml")
DATABASE = Request(LIBRARIES, database=True)
APP = Request(LIBRARIES)
CONTAINER = Request((*LIBRARIES, "requests"))


def system(distribution, release, like="", *found, name=None):
    """What `command` prints on such a host."""
    lines = [f'PRETTY_NAME="{name or distribution + " " + release}"', f'ID="{distribution}"', f'ID_LIKE="{like}"']
    lines += [f'VERSION_ID="{release}"', "VERSION_CODENAME=trixie"] if release else []
    return parse("".join(f"{line}\n" for line in [*lines, *(f"devportal:{line}" for line in found)]))


ROCKY = ("rocky", "9.4", "rhel centos fedora")
SERVER_16 = "server postgres (PostgreSQL) 16.14"


def asked(host, **more):
    return list(host_problems(host, Request(LIBRARIES, database=True, **more)))


@pytest.mark.parametrize(
    "host",
    [
        system("debian", "12"),
        system("debian", ""),  # testing
        system("ubuntu", "22.04", "debian"),
        system("ubuntu", "24.04", "debian"),
        system("linuxmint", "21", "ubuntu debian"),
        system("raspbian", "12", "debian"),
        system("rocky", "10.0", "rhel centos fedora"),
        system("fedora", "42"),
        system("opensuse-tumbleweed", "20261101", "opensuse suse"),
    ],
    ids=lambda host: host.name,
)
def test_a_supported_distribution_passes(host):
    for request in (DATABASE, APP, CONTAINER):
        assert not list(host_problems(host, request))


@pytest.mark.parametrize("request_", [DATABASE, APP, CONTAINER], ids=["database", "app", "container"])
@pytest.mark.parametrize(
    "host",
    [
        system("alpine", "3.20.1", name="Alpine Linux v3.20"),
        system("rocky", "8.10", "rhel centos fedora"),
        system("rhel", "8.10", "fedora"),
        system("ol", "8.9", "fedora"),
        system("centos", "7", "rhel fedora"),
        system("amzn", "2", "centos rhel fedora"),
        system("arch", ""),
        system("opensuse-leap", "15.6", "suse opensuse"),
        system("debian", "10"),
        system("ubuntu", "20.04", "debian"),
        parse(""),
    ],
    ids=lambda host: host.name,
)
def test_another_distribution_is_rejected_on_hosts_of_every_kind(host, request_):
    (sentence,) = host_problems(host, request_)
    assert sentence.startswith(f"{host.name}: ")
    assert " Use " in sentence


def test_debian_11_is_an_app_host_but_no_database_host():
    host = system("debian", "11", "", "python 3.9")
    assert not list(host_problems(host, APP))
    (sentence,) = host_problems(host, DATABASE)
    assert sentence == "debian 11: too old. Use Debian 12, 13 and testing (app hosts: also 11)."


@pytest.mark.parametrize(("python", "passes"), [("3.8", False), ("3.6", False), ("3.9", True), ("3.14", True)])
def test_an_old_python(python, passes):
    found = list(host_problems(system("debian", "12", "", f"python {python}"), APP))
    assert (not found) is passes
    assert passes or f"its Python {python} is older than 3.9" in found[0]


class TestInterpreter:
    FOREIGN = "foreign /opt/venv/bin/python"

    def test_a_packages_library_is_not_for_another_interpreter(self):
        for packages in ((), ("package python3-psycopg2",)):
            (sentence,) = asked(system("debian", "13", "", self.FOREIGN, "library yaml", *packages))
            assert sentence == (
                "ansible_python_interpreter: /opt/venv/bin/python does not find what the modules need (psycopg2), and "
                "the distribution's packages of it are not for this interpreter. Set it to /usr/bin/python3, or "
                "install that for /opt/venv/bin/python."
            )
        assert not asked(system("debian", "13"))

    def test_libraries_that_it_finds_need_no_package(self):
        host = system("debian", "13", "", self.FOREIGN, "library yaml", "library psycopg2")
        assert not asked(host)
        assert missing_packages(host, APP) == []

    @pytest.mark.parametrize("foreign", [True, False])
    def test_on_this_machine(self, foreign, tmp_path):
        """A virtual environment has no library of the system's; the current directory is none of its places."""
        (tmp_path / "yaml.py").write_text("")
        python = tmp_path / "bin" / "python" if foreign else "/usr/bin/python3"
        if foreign:
            python.parent.mkdir()
            python.symlink_to("/usr/bin/python3")
            (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
        done = subprocess.run(
            command(str(python)), shell=True, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, "")
        host = parse(done.stdout)
        assert host.foreign == (str(python) if foreign else "")
        if foreign:
            assert not host.libraries
        else:
            packages = {"psycopg2": "python3-psycopg2", "yaml": "python3-yaml", "requests": "python3-requests"}
            assert host.libraries >= {name for name, package in packages.items() if package in host.packages}


class TestVersions:
    def test_a_default_that_is_too_old_has_to_be_chosen_otherwise(self):
        (sentence,) = asked(system(*ROCKY))
        assert sentence.startswith(
            "backstage_postgresql_version: required on rocky 9.4, whose default PostgreSQL is 13"
        )
        assert "15, 16, 18" in sentence

    def test_a_server_that_is_there_needs_no_choice(self):
        assert not asked(system(*ROCKY, SERVER_16))
        assert asked(system(*ROCKY, "server postgres (PostgreSQL) 13.23"))

    def test_a_newer_version_than_that_of_the_cluster_is_an_upgrade(self):
        host = system("debian", "13", "", "cluster 15 5432 online main", "cluster 15 5433 down,binaries_missing other")
        (sentence,) = asked(host, version="17")
        assert sentence == (
            "backstage_postgresql_version: PostgreSQL 17 would get a new, empty cluster beside 15/main (port 5432, "
            "online). To upgrade 15/main, run the playbook devportal.backstage.upgrade with this version. To keep it, "
            "choose version 15. For a second cluster, choose another backstage_postgresql_cluster, or set "
            "backstage_postgresql_create to true."
        )
        assert asked(host, version="17", port=5432)
        assert asked(host, version="17", pgdg=True)
        for meant in ({"create": True}, {"port": 5434}, {"cluster": "second"}, {"version": "15"}, {"version": ""}):
            assert not asked(host, **{"version": "17", **meant})
        both = system("debian", "13", "", "cluster 15 5433 down main", "cluster 17 5432 online main")
        assert not asked(both, version="17")

    def test_a_cluster_under_patroni_is_not_upgraded(self):
        (sentence,) = asked(system("debian", "13", "", "cluster 17 5432 online,recovery,patroni main"), version="18")
        assert sentence == (
            "backstage_postgresql_version: 18 is not the version of the cluster, 17, and a cluster under Patroni is "
            "not upgraded. Keep the version, or dump the databases and restore them into a new cluster."
        )

    def test_a_distribution_without_a_default(self):
        (sentence,) = asked(system("amzn", "2023", "fedora"))
        assert "which has no default version" in sentence

    def test_what_the_distribution_has_not(self):
        (sentence,) = asked(system(*ROCKY), version="14")
        assert sentence == (
            "backstage_postgresql_version: rocky 9.4 has 15, 16, 18, not 14. Use one of these, or set "
            "backstage_postgresql_repository to pgdg."
        )
        assert not asked(system(*ROCKY), version="16")

    def test_the_projects_repository_needs_a_version_and_a_key(self):
        assert "required with backstage_postgresql_repository pgdg" in asked(system(*ROCKY), pgdg=True)[0]
        assert asked(system(*ROCKY), pgdg=True, version="14")[0].startswith("backstage_postgresql_repository_key: ")
        assert not asked(system(*ROCKY), pgdg=True, version="14", key=True)
        assert not asked(system("debian", "13"), pgdg=True, version="14")
        assert "no repository for amzn 2023" in asked(system("amzn", "2023"), pgdg=True, version="16", key=True)[0]


class TestPackages:
    def test_on_a_bare_host(self):
        assert missing_packages(system("debian", "13"), DATABASE) == [
            "postgresql", "python3-psycopg2", "python3-yaml",
        ]  # fmt: skip
        assert missing_packages(system(*ROCKY), Request(LIBRARIES, database=True, version="16")) == [
            "@postgresql:16/server", "postgresql-contrib", "python3-psycopg2", "python3-pyyaml",
        ]  # fmt: skip
        assert missing_packages(system(*ROCKY), CONTAINER) == ["python3-psycopg2", "python3-pyyaml", "python3-requests"]

    def test_of_the_projects_repository(self):
        request = Request(LIBRARIES, database=True, version="14", pgdg=True, key=True)
        assert missing_packages(system(*ROCKY), request)[:2] == ["postgresql14-server", "postgresql14-contrib"]
        assert missing_packages(system("debian", "13"), request)[0] == "postgresql-14"

    def test_what_is_there_is_not_asked_for_again(self):
        found = (SERVER_16, "package python3-psycopg2", "package python3-yaml")
        for version in ("", "16"):
            assert not missing_packages(system("debian", "13", "", *found), Request(LIBRARIES, True, version))

    def test_a_server_of_another_version_gets_no_second_one_beside_it_unless_asked(self):
        host = system("debian", "13", "", SERVER_16)
        assert "postgresql" not in missing_packages(host, DATABASE)
        assert "postgresql-17" in missing_packages(host, Request(LIBRARIES, True, "17"))


def test_where_the_projects_packages_are():
    assert pgdg_repository(system("debian", "13"), "16", "") == {
        "url": "https://apt.postgresql.org/pub/repos/apt", "suite": "trixie-pgdg", "library": False,
    }  # fmt: skip
    mirror = pgdg_repository(system(*ROCKY), "14", "https://mirror.example.com/yum/")
    assert mirror == {"url": "https://mirror.example.com/yum/14/redhat/rhel-9-$basearch"}
    assert pgdg_repository(system("fedora", "42"), "14", "")["url"].endswith("/yum/14/fedora/fedora-42-$basearch")


def test_on_this_machine():
    """The command itself: it ends well, and needs nothing that a minimal host lacks."""
    done = subprocess.run(command("python3"), shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    host = parse(done.stdout.replace("\n", "\r\n"))  # as over a terminal
    assert host.python >= (3, 9)
    assert host.name != "A system without /etc/os-release"


def test_a_run_without_the_rights_of_root():
    host = parse('devportal:uid 1000\nID=debian\nVERSION_ID="13"\n')
    (problem,) = root_problems(host, Request(("psycopg2",), database=True))
    assert problem.startswith("become: ")
    assert "become: true" in problem
    assert list(root_problems(host, Request(("psycopg2",))))
    ready = parse('devportal:uid 1000\nID=debian\nVERSION_ID="13"\ndevportal:package python3-psycopg2\n')
    assert not list(root_problems(ready, Request(("psycopg2",))))
    assert not list(root_problems(parse("devportal:uid 0\nID=debian\n"), Request(("psycopg2",), database=True)))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("/bin/sh: 1: sudo: not found\n", "ansible_user: root or ansible_become: false"),
        ("bash: line 1: sudo: command not found", "ansible_user: root or ansible_become: false"),
        ("sudo: a password is required", "a password is required"),
        ("", "no answer"),
    ],
)
def test_a_host_that_cannot_be_queried(answer, said):
    (problem,) = unreachable_problems("db", answer)
    assert said in problem
