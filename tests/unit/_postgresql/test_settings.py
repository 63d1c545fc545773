# Copyright (c) 2026, the devportal.backstage maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of our settings file, and the block of postgresql.conf that includes it."""

from __future__ import annotations

import pytest
from ansible_collections.devportal.backstage.plugins.module_utils._errors import CollectionError
from ansible_collections.devportal.backstage.plugins.module_utils._postgresql.settings import (
    Include,
    normal_settings,
    our_include,
    portal_of,
    settings_directory,
    settings_file,
    settings_text,
    with_include,
    written_settings,
)
from hypothesis import assume, given
from hypothesis import strategies as st


class TestSettings:
    def test_values(self):
        given_values = {
            "ssl": True, "fsync": False, "port": 5433, "Work_Mem": "64MB",
            "listen_addresses": ["localhost", "10.0.0.1"],
            "search_path": ["$user", "My Schema", 'a"b'], "random_page_cost": 1.5, "gone": None,
            "shared_preload_libraries": [],
        }  # fmt: skip
        assert normal_settings(given_values) == {
            "fsync": "off",
            "listen_addresses": "localhost,10.0.0.1",
            "port": "5433",
            "random_page_cost": "1.5",
            "search_path": '$user,"My Schema","a""b"',
            "shared_preload_libraries": "",
            "ssl": "on",
            "work_mem": "64MB",
        }

    def test_quoting(self):
        text = settings_text({"a.b": "it's a \\ \n line", "c": "ü"})
        assert text.decode().endswith("a.b = 'it''s a \\\\ \\n line'\nc = 'ü'\n")
        assert settings_text({}) is None

    @given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30))
    def test_no_value_leaves_its_line(self, value):
        text = settings_text(normal_settings({"a": value})).decode()
        body = [one for one in text.split("\n") if not one.startswith("#")]
        assert len(body) == 2
        assert body[0].startswith("a = '")
        assert body[0].endswith("'")
        assert body[1] == ""

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"port": "abc"}, 'port is "abc". Choose a whole number'),
            ({"port": 0}, 'port is "0"'),
            ({"port": 65536}, 'port is "65536"'),
            ({"port": True}, 'port is "on"'),
            ({"a b": 1}, '"a b" is not a valid name'),
            ({"a": 1, "A": 2}, "a is there twice"),
            ({"hba_file": "/x"}, "hba_file is set by the operating system's packages"),
            ({"include_dir": "x"}, "include_dir is not a setting"),
            ({"a": {"b": 1}}, "a is a dict"),
            ({"a": ["x", ""]}, "a has the list item ''"),
            ({"a": "x\0"}, "a has a NUL"),
        ],
    )
    def test_refused(self, settings, message):
        with pytest.raises(CollectionError, match=message):
            normal_settings(settings)

    @given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30))
    def test_what_is_written_can_be_read(self, value):
        settings = {"a.b": value, "c": "d = 'e'"}
        assert written_settings(settings_text(settings)) == settings

    def test_nothing_is_written(self):
        assert written_settings(None) == {}

    @given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=30))
    def test_a_portal_s_file(self, portal):
        name = settings_file(portal)
        assert portal_of(name) == portal
        assert "/" not in name
        assert not name.startswith(".")
        assert name.endswith(".conf")
        assert name > "zz-a"

    def test_other_files(self):
        assert portal_of("zz-devportal-backstage.conf") == ""
        assert portal_of("10-tuning.conf") is None


class TestDirectory:
    """Which directory of settings files is used, and whether postgresql.conf includes it."""

    def test_the_one_that_is_included(self, tmp_path):
        default = f"{tmp_path}/conf.d"
        for line in (
            b"include_dir = 'conf.d'",
            b"include_dir 'conf.d'",
            b"  INCLUDE_DIR=conf.d # x",
            b"\ninclude_dir='./conf.d'\n",
        ):
            assert settings_directory(b"port = 1\n" + line, default) == (default, True)

    def test_the_last_of_several(self, tmp_path):
        main = b"include_dir = 'conf.d'\ninclude_dir = 'my.d'\ninclude_dir = '/srv/shared'\n"
        assert settings_directory(main, f"{tmp_path}/conf.d") == (f"{tmp_path}/my.d", True)

    def test_none_is_included(self, tmp_path):
        default = f"{tmp_path}/conf.d"
        for main in (
            b"",
            b"#include_dir = 'conf.d'\n",
            b"include_dir = '/srv/shared'\n",
            b"x_include_dir = 'conf.d'\n",
        ):
            assert settings_directory(main, default) == (default, False)

    def test_files_that_somebody_has_out_of_force_stay_so(self, tmp_path):
        (tmp_path / "conf.d").mkdir()
        assert settings_directory(b"", f"{tmp_path}/conf.d") == (f"{tmp_path}/conf.d", False)
        (tmp_path / "conf.d" / "zz-backstage-a.conf").write_text("work_mem = '1MB'\n")
        assert settings_directory(b"", f"{tmp_path}/conf.d") == (f"{tmp_path}/conf.d", False)
        (tmp_path / "conf.d" / "10.conf").write_text("work_mem = 1MB\n")
        assert settings_directory(b"", f"{tmp_path}/conf.d") == (f"{tmp_path}/backstage.d", False)

    def test_ours_before_those_of_others(self, tmp_path):
        main = with_include(b"", Include(f"{tmp_path}/backstage.d", True)) + b"include_dir = 'later.d'\n"
        assert settings_directory(main, f"{tmp_path}/conf.d") == (f"{tmp_path}/backstage.d", True)


class TestInclude:
    @given(st.binary(max_size=60), st.booleans())
    def test_every_other_byte_is_kept(self, data, created):
        assume(b"devportal" not in data)
        include = Include("/x/conf.d", created)
        text = with_include(data, include)
        assert our_include(text, "/x") == include
        assert with_include(text, include) == text
        assert with_include(text, None) == data

    def test_lines_that_were_added_behind_it(self):
        text = with_include(b"port = 1", Include("/x/conf.d", False)) + b"port = 2\n"
        assert with_include(text, None) == b"port = 1\nport = 2\n"

    def test_no_block(self):
        assert our_include(b"include_dir = 'conf.d'\n", "/x") is None
