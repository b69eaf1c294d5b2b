"""`[stores.NAME]` as it is written, and as it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.base.errors import ConfigError
from conductor.base.secrets import for_bodies, for_programs, values
from conductor.base.settings.origin import settings_with_origin
from conductor.base.settings.settings import Settings, load


def declared(folder: Path, *lines: str) -> Settings:
    text = ["[roots.data]", 'path = "data"', "[roots.inner]", 'path = "data/inner"', "[stores.ads]", *lines]
    (folder / "conductor.toml").write_text("\n".join(text))
    return load(folder)


def test_a_file_is_known_by_the_innermost_root_that_holds_it(tmp_path: Path) -> None:
    for url, rooted in (
        ("sqlite:data/ads.db", "data:ads.db"),
        ("sqlite:data/inner/a b.db", "inner:a b.db"),
        (f"sqlite:{tmp_path}/data/x/ads.db", "data:x/ads.db"),
    ):
        settings = declared(tmp_path, f'url = "{url}"')
        assert settings.stores["ads"].rooted(settings.project, settings.roots) == rooted


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data/ads.db", 'is to begin with "sqlite:" or "postgresql://"'),
        ("mysql://a@b/c", 'is to begin with "sqlite:" or "postgresql://"'),
        ("sqlite:", "names no file"),
        ("sqlite:///data/ads.db", "names no file"),
        ("postgresql://ads:hunter22@db/ads", "password_env"),
        ("postgresql://ads@db/ads?password=hunter22", "password_env"),
        ("postgresql://ads:hunter22@a:1,b:2/ads", "password_env"),
        ("postgresql://ads@db:99999/ads", "is no address"),
        ("sqlite:elsewhere/ads.db", r"lies in no root.*\[roots.elsewhere\] with path"),
        ("sqlite:data/../ads.db", "lies in no root"),
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        declared(tmp_path, f'url = "{url}"')
    assert "hunter22" not in str(caught.value)


def test_a_name_is_a_word_and_a_file_has_no_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="small letters"):
        declared(tmp_path, 'url = "sqlite:data/a.db"', '[stores."A b"]', 'url = "sqlite:data/b.db"')
    with pytest.raises(ConfigError, match="no password"):
        declared(tmp_path, 'url = "sqlite:data/a.db"', 'password_env = "X"')


def test_the_password_is_a_secret_that_bodies_get_and_programs_do_not(tmp_path: Path) -> None:
    settings = declared(
        tmp_path, 'url = "postgresql://ads@db/ads?sslmode=require"', 'password_env = "ADS_PASSWORD"'
    )
    environ = {"ADS_PASSWORD": "hunter22", "PATH": "/bin"}

    assert values(settings.secrets, environ) == {"hunter22"}
    assert for_bodies(settings.secrets, environ) == environ
    assert for_programs(settings.secrets.variables, environ) == {"PATH": "/bin"}
    shown = {row.key: row.value for row in settings_with_origin(settings)}
    assert shown["stores.ads.url"] == "postgresql://ads@db/ads?sslmode=require"
    assert shown["stores.ads.password_env"] == "ADS_PASSWORD"
