# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad certificates against site.yml: a database host for each, one sentence, and no host is touched."""

from __future__ import annotations

import re
import shutil

import pytest
from ansible_collections.devportal.backstage.tests.unit._postgresql.authorities import Authority, key_pem, pem
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from inventory_runs import rejected

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is not on PATH")

NAMES = ["db.example.com", "localhost"]
CA, OTHER = Authority(), Authority("Another CA")
KEY = ec.generate_private_key(ec.SECP256R1())
WEAK = rsa.generate_private_key(65537, 1024)
PREFIX = "backstage_postgresql_tls"
GIVEN = {
    # It has no Python, so that nothing could be done to this machine.
    "ansible_connection": "local", "ansible_python_interpreter": "/nowhere", "ansible_become": False,
    "backstage_postgresql_password": "hunter2", "backstage_postgresql_user": "backstage",
    PREFIX: True, f"{PREFIX}_names": NAMES,
}  # fmt: skip


def given(certificate=None, key=None, ca=CA.pem):
    """The variables of a certificate of one's own."""
    text = pem(CA.sign("db", KEY, NAMES)) if certificate is None else certificate
    values = {"certificate": text, "private_key": key_pem(KEY) if key is None else key, "ca": ca}
    return {f"{PREFIX}_{name}": value for name, value in values.items()}


def bad(folder):
    """Variables of a host, and the sentence about them."""
    readable = folder / "readable.key"
    readable.write_text(key_pem(KEY))
    readable.chmod(0o644)
    authority = folder / "authority"
    authority.mkdir()
    (authority / "ca.crt").write_text(CA.pem)
    (authority / "ca.key").write_text(key_pem(CA.key))
    (authority / "ca.key").chmod(0o644)
    client = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return {
        "expired": (given(pem(CA.sign("db", KEY, NAMES, start=-9, days=-1))), "The certificate expired on"),
        "not yet valid": (given(pem(CA.sign("db", KEY, NAMES, start=2))), "The certificate is not valid before"),
        "another host": (given(pem(CA.sign("db", KEY, ["other.example.com"]))), "is for other.example.com, not for"),
        "foreign": (given(ca=OTHER.pem), "which the CA certificate does not vouch for."),
        "another key": (given(key=key_pem(CA.key)), "The private key does not belong to the certificate."),
        "weak": (given(pem(CA.sign("db", WEAK, NAMES)), key_pem(WEAK)), "has a weak key of 1024 bits."),
        "a CA's": (given(pem(CA.sign("db", KEY, NAMES, authority=True))), "The certificate is one of a CA."),
        "no CA": (given(ca=pem(CA.sign("db", KEY, NAMES))), "is not one of a CA (CA:FALSE)."),
        "for clients": (given(pem(CA.sign("db", KEY, NAMES, usages=client))), "is not for a TLS server"),
        "key with passphrase": (given(key=key_pem(KEY, b"secret")), "The private key has a passphrase."),
        "key for everybody": (given(key=str(readable)), "other users can read the private key"),
        "key beside it": (given(pem(CA.sign("db", KEY, NAMES)) + key_pem(KEY)), "has a private key beside it"),
        "no PEM": (given("MIIB"), "is neither PEM text nor the absolute path"),
        "missing": ({**given(), f"{PREFIX}_ca": ""}, "required with"),
        "own CA for everybody": ({f"{PREFIX}_ca_directory": str(authority)}, "other users can read the private key"),
    }


def bad_clients(folder):
    """As `bad`, of database hosts whose only app host has been given a bad client certificate."""
    client = [ExtendedKeyUsageOID.CLIENT_AUTH]
    server = [ExtendedKeyUsageOID.SERVER_AUTH]
    readable = folder / "readable.key"

    def of(certificate=None, key=None):
        text = pem(CA.sign("portal", KEY, [], usages=client)) if certificate is None else certificate
        values = {"certificate": text, "private_key": key_pem(KEY) if key is None else key}
        return {f"{PREFIX}_client_{name}": value for name, value in values.items()}

    return {
        "expired": (of(pem(CA.sign("portal", KEY, [], start=-9, days=-1))), "The certificate expired on"),
        "not yet valid": (of(pem(CA.sign("portal", KEY, [], start=2))), "The certificate is not valid before"),
        "foreign": (of(pem(OTHER.sign("portal", KEY, []))), "which the CA certificate does not vouch for."),
        "for servers": (of(pem(CA.sign("portal", KEY, [], usages=server))), "is not for a TLS client"),
        "another key": (of(key=key_pem(CA.key)), "The private key does not belong to the certificate."),
        "key with passphrase": (of(key=key_pem(KEY, b"secret")), "The private key has a passphrase."),
        "key for everybody": (of(key=str(readable)), "other users can read the private key"),
        "weak": (of(pem(CA.sign("portal", WEAK, [])), key_pem(WEAK)), "has a weak key of 1024 bits."),
        "no PEM": (of("MIIB"), "is neither PEM text nor the absolute path"),
        "missing": (of(key=""), "private_key of app_missing: required with"),
    }


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """The last result of each host, its sentence, and the tasks that ran, from one run of site.yml."""
    folder = tmp_path_factory.mktemp("bad")
    cases = bad(folder)
    hosts = {name.replace(" ", "_").replace("'", ""): case for name, case in cases.items()}
    # For each bad client certificate a database host, and an app host that uses it.
    demanded = {**given(), f"{PREFIX}_client_certificates": True}
    apps = {}
    for name, (variables, sentence) in bad_clients(folder).items():
        host = f"client_{name.replace(' ', '_')}"
        hosts[host] = (demanded, sentence)
        app = host.replace("client_", "app_", 1)
        apps[app] = {
            **variables, f"{PREFIX}_client_certificates": True, "backstage_postgresql_host": host,
            "backstage_app_config_directory": "/nowhere",
        }  # fmt: skip
    of_databases = {name: variables for name, (variables, _sentence) in hosts.items()}
    inventory = {
        "all": {"vars": GIVEN},
        "backstage_database": {"hosts": list(hosts)},
        "backstage": {"hosts": list(apps)},
        "_meta": {"hostvars": {**of_databases, **apps}},
    }
    report, done = rejected(folder, inventory)
    last, reached = {}, set()
    for play in report["plays"]:
        for task in play["tasks"]:
            reached.add(re.sub(r".* : ", "", task["task"]["name"]))
            for host, result in task["hosts"].items():
                if not result.get("skipped"):
                    last[host] = result
    return {host: (last[host], sentence) for host, (_variables, sentence) in hosts.items()}, reached, done.stdout


def test_each_gets_one_sentence(outcomes):
    for host, (result, sentence) in outcomes[0].items():
        assert result.get("failed"), (host, result)
        assert len(result["problems"]) == 1, (host, result["msg"])
        assert result["msg"].startswith("backstage_postgresql_"), (host, result["msg"])
        assert sentence in result["msg"], (host, result["msg"])


def test_nothing_runs_after_the_validation(outcomes):
    assert {name for name in outcomes[1] if not name.startswith("Validating arguments")} <= {
        "Require a host of the groups backstage or backstage_database in this run",
        "Validate variables",
        "Validate the database host",
        "Validate the TLS variables and certificates",
    }


def test_no_key_is_in_the_output(outcomes):
    for key in (key_pem(KEY), key_pem(CA.key), key_pem(WEAK)):
        assert key.splitlines()[1] not in outcomes[2]
