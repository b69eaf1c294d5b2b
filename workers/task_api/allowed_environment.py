"""What a program of the `shell` task finds in its environment: an allow-list. What is not on it nobody has to
think of: the token of another service in the operator's shell, or a variable by which a program loads code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from conductor.adapters.host.processes import SESSION
from conductor.base import secrets
from conductor.base.errors import Refused

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings

#: Of the worker's own: who and where it is, its words, its devices and threads, where its libraries lie.
_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|TERM|COLUMNS|LINES|NO_COLOR|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TMP|TEMP"
    r"|XDG_(CACHE|CONFIG|DATA|STATE)_HOME|XDG_RUNTIME_DIR|HOSTNAME|VIRTUAL_ENV|CONDA_PREFIX|SSL_CERT_(FILE|DIR)"
    r"|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|CUDA_[A-Z_]+|NVIDIA_[A-Z_]+|HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES"
    r"|(OMP|MKL|OPENBLAS|NUMEXPR|VECLIB_MAXIMUM)_(NUM_)?(THREADS|MAX_THREADS)|SOURCE_DATE_EPOCH"
)
#: What a line may set of its own: words and threads. By no means what names a file or a folder.
_SETTABLE = re.compile(
    r"LANG|LANGUAGE|LC_(ALL|COLLATE|CTYPE|MESSAGES|MONETARY|NUMERIC|TIME)|TZ|NO_COLOR|COLUMNS|LINES|SOURCE_DATE_EPOCH"
    r"|(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS"
)
#: Variables that make the loader or an interpreter run other code: no line sets them, whatever the operator
#: lists.
_LOADERS = re.compile(
    r"(LD_|DYLD_|PYTHON|PERL|RUBY|NODE_|JAVA_|JDK_|_JAVA|GIT_|GCONV|LOCPATH|CONDUCTOR_)\w*"
    r"|PATH|HOME|IFS|ENV|BASH_ENV|BASH_FUNC.*|SHELLOPTS|PS4|PROMPT_COMMAND|EDITOR|VISUAL|PAGER|HOSTALIASES|.*_PROXY|LUA_INIT.*"
    r"|OPENSSL_\w+|\w+_OPTIONS|MAKEFLAGS|XDG_\w+|GLIBC_TUNABLES|MAGICK_\w+",
    re.IGNORECASE,
)


def inherited(settings: CodeSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Of the worker's environment what is on the list, or in `shell_env`; never a secret of the settings."""
    named = frozenset(settings.shell_env)
    return {
        name: value
        for name, value in secrets.for_programs(settings.secret_variables, environ).items()
        if name == SESSION or name in named or _INHERITED.fullmatch(name)
    }


def refuse_others(settings: CodeSettings, wanted: Mapping[str, str]) -> None:
    """Raises `Refused` at a variable that a line may not set."""
    named = frozenset(settings.shell_env)
    for name in wanted:
        is_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
        if not is_name or _LOADERS.fullmatch(name):
            raise Refused(
                f"args.env: a job may not set {name[:80]!r}: it can make a listed program run other code"
            )
        if name not in named and not _SETTABLE.fullmatch(name):
            raise Refused(f"args.env: a job may not set {name[:80]!r}: add it to shell_env in conductor.toml")
