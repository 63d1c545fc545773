# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role backstage_postgresql_tls is given: checked on the control node before anything changes.

Private to this collection: its interface may change in any release.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql import certificates

PREFIX = "backstage_postgresql_tls"
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "certificate": {"type": "str", "default": ""},
    "private_key": {"type": "str", "default": "", "no_log": True},
    "ca": {"type": "str", "default": ""},
    "ca_directory": {"type": "str", "required": True},
    "ca_passphrase": {"type": "str", "default": "", "no_log": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "days": {"type": "int", "required": True},
    "renew_days": {"type": "int", "required": True},
    "clients": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "host": {"type": "str", "required": True},
            "certificate": {"type": "str", "default": ""},
            "private_key": {"type": "str", "default": "", "no_log": True},
        },
    },
}
_GIVEN = ("certificate", "private_key", "ca")
_CA_WARNING_DAYS = 90


_CLIENT = "client_"


def pem_text(value: str, variable: str = "") -> str:
    """The PEM text of a value that is one, or the absolute path of a file on the control node that holds it.

    Args:
        value: of the variable.
        variable: its name without the role's prefix, for the error's text.

    Raises:
        CollectionError: it is neither, or others can read the private key in the file.
    """
    subject, path = f"{PREFIX}_{variable}", os.path.expanduser(value.strip())
    if not value.strip() or "-----BEGIN" in value:
        return value
    if not path.startswith("/") or "\n" in path or "\0" in path:
        raise CollectionError(
            f"{subject}: is neither PEM text nor the absolute path of a file on the control node.",
            "PEM text begins with -----BEGIN.",
        )
    try:
        if variable.endswith("private_key"):
            _reject_readable(path, subject)
        with open(path, encoding="ascii", errors="replace") as stream:
            text = stream.read()
    except OSError as error:
        raise CollectionError(
            f"{subject}: {path} cannot be read on the control node: {error.strerror}.", "Correct the path."
        ) from error
    if text.startswith("$ANSIBLE_VAULT"):
        raise CollectionError(
            f"{subject}: {path} is encrypted with Ansible Vault.",
            f"Set the variable to \"{{{{ lookup('ansible.builtin.file', '{path}') }}}}\", which decrypts it.",
        )
    return text


def problems(options: Mapping[str, Any], *, crypto: bool = True) -> list[str]:
    """Sentences about the variables of the role; none where all are right.

    Args:
        options: by the names in `OPTIONS`.
        crypto: whether the collection that issues certificates is installed on the control node.
    """
    found = []
    if options["renew_days"] >= options["days"]:
        found.append(
            f"{PREFIX}_renew_days: {options['renew_days']} is not less than {PREFIX}_days, {options['days']}, so every "
            "run would renew the certificate. Choose a smaller number."
        )
    if not options["names"]:
        found.append(f"{PREFIX}_names: is empty. Name the hosts and addresses by which clients reach the server.")
    given = [name for name in _GIVEN if options[name].strip()]
    if given:
        missing = [f"{PREFIX}_{name}" for name in _GIVEN if name not in given]
        if missing:
            found.append(f"{' and '.join(missing)}: required with {PREFIX}_{given[0]}. Set it too.")
        else:
            found += _given_problems(options)
            found += [problem for client in options["clients"] for problem in _client_problems(client, options["ca"])]
    elif not crypto:
        found.append(
            f"{PREFIX}: the collection community.crypto, which issues certificates, is not installed on the control "
            "node. Run `ansible-galaxy collection install community.crypto`."
        )
    else:
        found += _own_ca_problems(options["ca_directory"], options["ca_passphrase"])
    if not given:
        found += [
            f"{PREFIX}_{_CLIENT}{key} of {client['host']}: the CA on the control node issues the server's certificate, "
            f"so it issues those of the clients as well. Remove it, or set {PREFIX}_certificate too."
            for client in options["clients"]
            for key in ("certificate", "private_key")
            if client[key].strip()
        ]
    return found


def _client_problems(client: Mapping[str, str], ca: str) -> Iterable[str]:
    """What is wrong with a certificate that the user gives for an app host."""
    of, texts = f"of {client['host']}", {}
    for key in ("certificate", "private_key"):
        name = f"{_CLIENT}{key}"
        if not client[key].strip():
            required = f"required with {PREFIX}_{_CLIENT}certificates and {PREFIX}_certificate"
            yield f"{PREFIX}_{name} {of}: {required}. Set it."
            continue
        try:
            texts[key] = pem_text(client[key], name)
        except CollectionError as error:
            yield f"{error} ({of})"
    if "certificate" not in texts or "private_key" not in texts:
        return
    try:
        trusted = pem_text(ca, "ca")
    except CollectionError:
        return  # reported for the server
    for problem in certificates.problems(
        texts["certificate"], trusted, (), private_key=texts["private_key"], usages=("clientAuth",)
    ):
        yield f"{PREFIX}_{_CLIENT}certificate {of}: {problem}"


def warnings(options: Mapping[str, Any]) -> list[str]:
    """A sentence about a CA of one's own that ends soon, while all certificates that it has issued still work."""
    path = os.path.join(options["ca_directory"], "ca.crt")
    if any(options[name].strip() for name in _GIVEN) or not os.path.exists(path):
        return []
    with open(path, encoding="ascii", errors="replace") as stream:
        loaded = certificates.load(stream.read(), "CA certificate")
    if isinstance(loaded, str):
        return []
    return [
        f"{PREFIX}_ca_directory: {text} All certificates end with it; the guide on TLS has the steps to a new CA."
        for text in certificates.date_problems(loaded[0], _CA_WARNING_DAYS, "CA certificate")
    ]


def _given_problems(options: Mapping[str, Any]) -> Iterable[str]:
    texts = {}
    for name in _GIVEN:
        try:
            texts[name] = pem_text(options[name], name)
        except CollectionError as error:
            yield str(error)
    if len(texts) == len(_GIVEN):
        names: Sequence[str] = options["names"]
        for problem in certificates.problems(
            texts["certificate"], texts["ca"], names, private_key=texts["private_key"]
        ):
            yield f"{PREFIX}_certificate: {problem}"


def _own_ca_problems(directory: str, passphrase: str) -> Iterable[str]:
    subject = f"{PREFIX}_ca_directory"
    key_path, certificate_path = (os.path.join(directory, name) for name in ("ca.key", "ca.crt"))
    there = [path for path in (key_path, certificate_path) if os.path.exists(path)]
    if not there:
        return
    # A run that was killed leaves the key alone, with which the next one goes on.
    if there == [certificate_path]:
        yield (
            f"{subject}: {directory} has ca.crt and not its key ca.key. Restore the key from a backup, or move the "
            "directory away to create a new CA."
        )
        return
    try:
        _reject_readable(key_path, subject)
        with open(key_path, "rb") as stream:
            key = _private_key(stream.read(), key_path, passphrase)
        texts = []
        for path in there[1:]:
            with open(path, encoding="ascii", errors="replace") as text:
                texts.append(text.read())
    except CollectionError as error:
        yield str(error)
    except OSError as error:
        yield f"{subject}: {error.filename} cannot be read: {error.strerror}. Run this as the user that it belongs to."
    else:
        yield from (problem for text in texts for problem in _ca_certificate_problems(text, key, certificate_path))


def _ca_certificate_problems(text: str, key: Any, path: str) -> Iterable[str]:
    loaded = certificates.load(text, "CA certificate")
    found = [loaded] if isinstance(loaded, str) else certificates.authority_problems(loaded[0])
    if not found and certificates.public_key_digest(loaded[0].public_key()) != certificates.public_key_digest(
        key.public_key()
    ):
        found = ["The CA certificate was not issued for the key beside it. Restore both from a backup."]
    yield from (f"{PREFIX}_ca_directory: {path}: {problem}" for problem in found)


def _private_key(data: bytes, path: str, passphrase: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    subject = f"{PREFIX}_ca_passphrase"
    try:
        return load_pem_private_key(data, password=passphrase.encode() or None)
    except TypeError:
        if passphrase:
            raise CollectionError(
                f"{subject}: the key {path} has no passphrase.",
                f"Remove the variable, or encrypt the key with `openssl pkey -aes256 -in {path}`.",
            ) from None
        raise CollectionError(f"{subject}: the key {path} has a passphrase.", "Set the variable to it.") from None
    except ValueError:
        if b"ENCRYPTED" in data:
            raise CollectionError(f"{subject}: does not decrypt the key {path}.", "Correct it.") from None
        raise CollectionError(
            f"{PREFIX}_ca_directory: {path} is not a private key in PEM form.", "Restore it from a backup."
        ) from None


def _reject_readable(path: str, subject: str) -> None:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        raise CollectionError(
            f"{subject}: other users can read the private key {path} (mode {mode:04o}).",
            f"Run `chmod 600 {path}`, and replace the key if others had access to this machine.",
        )
