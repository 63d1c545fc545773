# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL connection URL as the npm package pg-connection-string reads it (`index.js`).

Private to this collection: its interface may change in any release.

URLs are split by the WHATWG URL Standard, as Node does: libpq accepts others.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._files import owned
from ansible_collections.devportal.backstage.plugins.module_utils._files.accounts import Ids
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.limits import MAX_PORT

_RESERVED = ";/?:@&=+$,#"


def parse_url(text: str, ids: Ids | None = None) -> dict[str, Any]:
    """Read a connection string as pg-connection-string does.

    Args:
        text: the connection string.
        ids: with which the certificates that it names are opened, see `owned`.

    Raises:
        ValueError: it is not a URL (WHATWG URL Standard), or names a file that cannot be read; without its text.
    """
    if text.startswith("/"):
        host, _space, database = text.partition(" ")
        return {"host": host, "database": database or None}
    if re.search(r" |%[^a-f0-9]|%[a-f0-9][^a-f0-9]", text, re.IGNORECASE):
        text = re.sub(r"%25(\d\d)", r"%\1", quote(text, safe=";,/?:@&=+$-_.!~*'()#"))
    dummy = False
    try:
        parts = _split_url(text)
    except ValueError:
        parts = _split_url(text.replace("@/", "@___DUMMY___/", 1))
        dummy = True
    config: dict[str, Any] = dict(parse_qsl(parts["query"], keep_blank_values=True))
    config["user"] = config.get("user") or _decoded(parts["user"])
    config["password"] = config.get("password") or _decoded(parts["password"])
    if parts["scheme"] == "socket":
        config.update(host=_decoded(parts["path"], _RESERVED), database=config.get("db"))
        return config
    hostname = re.sub(r"^\[(.+)\]$", r"\1", "" if dummy else parts["host"])
    path = parts["path"]
    if not config.get("host"):
        config["host"] = _decoded(hostname)
    elif re.match("%2f", hostname, re.IGNORECASE):
        path = hostname + path
    config["port"] = config.get("port") or parts["port"]
    config["database"] = _decoded(path[1:], _RESERVED) or None
    _url_tls(config, ids)
    return config


def _url_tls(config: dict[str, Any], ids: Ids | None) -> None:
    if config.get("ssl") in ("true", "1"):
        config["ssl"] = True
    elif config.get("ssl") == "0":
        config["ssl"] = False
    files = {key: config.get(f"ssl{name}") for key, name in (("cert", "cert"), ("key", "key"), ("ca", "rootcert"))}
    mode = config.get("sslmode")
    if any(files.values()) or mode:
        config["ssl"] = {}
    for key, path in files.items():
        if path:
            try:
                config["ssl"][key] = owned.read(path, ids).data.decode("utf-8", "replace")
            except CollectionError as error:
                raise ValueError(str(error)) from None
            except OSError as error:
                raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    if mode == "disable":
        config["ssl"] = False
    elif mode == "no-verify" or (
        config.get("uselibpqcompat") == "true"
        and (mode == "prefer" or (mode == "require" and not config.get("sslrootcert")))
    ):
        config["ssl"]["rejectUnauthorized"] = False


def _split_url(text: str) -> dict[str, str]:
    """Split a URL of a scheme without special rules, relative to postgres://base (WHATWG URL Standard, 4.4)."""
    text = re.sub(r"[\t\n\r]", "", text.strip("".join(map(chr, range(33)))))
    text, _hash, _fragment = text.partition("#")
    text, _mark, query = text.partition("?")
    parts = {"scheme": "postgres", "user": "", "password": "", "host": "base", "port": "", "path": "", "query": query}
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme:
        parts.update(scheme=scheme[1].lower(), host="")
        text = text[scheme.end() :]
    if not text.startswith("//"):
        parts["path"] = text if text.startswith("/") or (scheme and text) else f"/{text}"
        return parts
    authority, slash, path = text[2:].partition("/")
    parts["path"] = slash + path
    account, at, address = authority.rpartition("@")
    parts["user"], _colon, parts["password"] = account.partition(":")
    host = re.match(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(.*))?\Z", address)
    if not host or re.search(r"[\0 <>\\^|]", host[1]):
        raise ValueError("its host is not valid")
    parts["host"], parts["port"] = host[1], host[2] or ""
    if not parts["host"] and (at or host[2] is not None):
        raise ValueError("it has no host")
    if parts["port"] and not re.match(r"[0-9]+\Z", parts["port"]):
        raise ValueError("its port is not a number")
    if parts["port"] and int(parts["port"]) > MAX_PORT:
        raise ValueError("its port is too large")
    return parts


def _decoded(text: str, kept: str = "") -> str:
    """Undo percent-encoding (decodeURIComponent; with _RESERVED kept, decodeURI)."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("it has a percent sign that encodes nothing")
    for character in kept:
        text = re.sub(f"%(?={ord(character):02x})", "%25", text, flags=re.IGNORECASE)
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("a percent-encoded part of it is not UTF-8") from None
