"""Programs that run other programs when their arguments say so: to list one in `shell_programs` is to list
all of them.

By what their manuals say; a program that is not here may do so all the same.
"""

from __future__ import annotations

import re
from pathlib import PurePath

#: Names (without a version behind them) → how, for people.
_WAYS: tuple[tuple[str, str], ...] = (
    (
        "ash bash busybox csh dash elvish fish ksh mksh nu posh pwsh rbash rc sh tcsh toybox yash zsh",
        "a shell",
    ),
    (
        "awk bun clisp dart deno dotnet elixir erl escript expect gawk ghci groovy guile iex irb java jruby "
        "jshell julia jython kotlin lua luajit mawk mono nawk node nodejs ocaml octave perl php powershell "
        "pypy python pythonw R racket Rscript ruby sage sbcl scala swift tclsh ts-node wish",
        "an interpreter",
    ),
    (
        "at batch bwrap cgexec chroot chrt cpulimit crontab dbus-run-session doas env fakeroot firejail "
        "flatpak flock gdb ionice ld.so lldb ltrace nice nohup nsenter numactl parallel perf pkexec proot "
        "rlwrap runuser screen script setarch setpriv setsid start-stop-daemon stdbuf strace su sudo "
        "systemd-run taskset time timeout tmux unbuffer unshare valgrind watch wine wine64 xargs xterm",
        "runs the program in its arguments",
    ),
    ("mosh scp sftp ssh", "-o ProxyCommand"),
    (
        "ansible ansible-playbook buildah docker kubectl lxc nerdctl podman qemu virsh",
        "commands in containers or elsewhere",
    ),
    ("rsync", "-e"),
    ("rclone", "--password-command and others"),
    ("borg restic", "a password or transport command"),
    ("bzr git hg svn", "hooks, aliases, pagers and transports (-c)"),
    ("bsdtar gtar star tar", "--checkpoint-action, --to-command, -I"),
    ("cpio", "--rsh-command"),
    ("zip", "-TT"),
    ("fd fdfind find", "-exec"),
    ("sort", "--compress-program"),
    ("gsplit split", "--filter"),
    ("gsed sed", "the command e"),
    ("ed red", "the command !"),
    ("m4", "syscmd"),
    ("dc", "the command !"),
    ("emacs ex less man more most nano nvim vi view vim", "the command !"),
    ("rg", "--pre"),
    ("ant bazel bmake cmake gmake gradle just make meson mvn ninja rake scons", "the commands of its file"),
    (
        "bundle cargo composer conda gem go mamba npm npx pip pipx pnpm poetry uv uvx yarn",
        "scripts of packages",
    ),
    ("c++ cc clang clang++ g++ gcc gold ld lld nvcc tcc", "-wrapper, -B, plugins"),
    ("latex lualatex pdflatex tex xelatex", "--shell-escape"),
    ("ghostscript gs", "%pipe%"),
    ("pandoc", "--filter"),
    ("composite convert gm identify inkscape magick mogrify", "delegates, and the prefix of a file's name"),
    ("play rec sox", "a file's name that begins with |"),
    ("blender cvlc gimp mpv vlc", "scripts"),
    ("youtube-dl yt-dlp", "--exec"),
    ("aria2c", "--on-download-complete"),
    ("wget", "--use-askpass"),
    ("exiftool", "-config"),
    ("openssl", "engines and providers"),
    ("duckdb gnuplot mariadb mysql psql sqlite3", "a command for the shell"),
    ("tcpdump", "-z"),
    ("nmap", "--script"),
    ("apt apt-get dnf dpkg logrotate rpm run-parts yum", "scripts"),
    ("mail mailx mutt sendmail", "! and |"),
)
_HOW = {name: how for names, how in _WAYS for name in names.split()}


def how(program: str) -> str | None:
    """In which way `program` (a name or a path) runs others, as far as is known; None: in none that is
    known.
    """
    name = PurePath(program).name
    bare = re.sub(r"[-.\d]+\Z", "", name)
    return _HOW.get(name) or _HOW.get(bare)
