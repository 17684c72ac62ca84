"""Names what the system lacks before anything is installed, with the command that installs it.

Standard library only: it runs with the system's Python, before `.venv` exists. Exit code 1 when something is missing.
"""

import ctypes
import ctypes.util
import importlib.util
import platform
import shutil
import sys

# library -> package by package manager
LIBRARIES = {
    "libEGL.so.1": {"apt-get": "libegl1", "dnf": "libglvnd-egl", "pacman": "libglvnd"},
    "libGL.so.1": {"apt-get": "libgl1", "dnf": "libglvnd-glx", "pacman": "libglvnd"},
    "libxkbcommon.so.0": {"apt-get": "libxkbcommon0", "dnf": "libxkbcommon", "pacman": "libxkbcommon"},
    "libdbus-1.so.3": {"apt-get": "libdbus-1-3", "dnf": "dbus-libs", "pacman": "dbus"},
    "libfontconfig.so.1": {"apt-get": "libfontconfig1", "dnf": "fontconfig", "pacman": "fontconfig"},
    "libglib-2.0.so.0": {"apt-get": "libglib2.0-0", "dnf": "glib2", "pacman": "glib2"},
}
DISPLAY_LIBRARIES = {  # only for a window on X11
    "libxcb-cursor.so.0": {"apt-get": "libxcb-cursor0", "dnf": "xcb-util-cursor", "pacman": "xcb-util-cursor"},
    "libxkbcommon-x11.so.0": {
        "apt-get": "libxkbcommon-x11-0",
        "dnf": "libxkbcommon-x11",
        "pacman": "libxkbcommon-x11",
    },
    "libxcb-icccm.so.4": {"apt-get": "libxcb-icccm4", "dnf": "xcb-util-wm", "pacman": "xcb-util-wm"},
    "libxcb-image.so.0": {"apt-get": "libxcb-image0", "dnf": "xcb-util-image", "pacman": "xcb-util-image"},
    "libxcb-keysyms.so.1": {"apt-get": "libxcb-keysyms1", "dnf": "xcb-util-keysyms", "pacman": "xcb-util-keysyms"},
    "libxcb-render-util.so.0": {
        "apt-get": "libxcb-render-util0",
        "dnf": "xcb-util-renderutil",
        "pacman": "xcb-util-renderutil",
    },
    "libxcb-shape.so.0": {"apt-get": "libxcb-shape0", "dnf": "libxcb", "pacman": "libxcb"},
}
INSTALL = {
    "apt-get": "sudo apt-get install",
    "dnf": "sudo dnf install",
    "pacman": "sudo pacman -S",
}


def missing(libraries: dict[str, dict[str, str]]) -> list[str]:
    """The libraries the dynamic linker cannot find."""
    absent = []
    for name in libraries:
        try:
            ctypes.CDLL(name)
        except OSError:
            absent.append(name)
    return absent


def manager() -> str:
    """The first package manager found; Debian's where none is, as an example."""
    return next((name for name in INSTALL if shutil.which(name)), "apt-get")


def main() -> int:
    """Print what is missing and how to get it."""
    packages: list[str] = []
    tool = manager()
    if sys.version_info < (3, 11):  # noqa: UP036  it runs with whatever Python the system has
        print(f"Python {platform.python_version()} is too old: 3.11 or newer is needed.")
        print("Name a newer one: make PYTHON=python3.12 ...")
        return 1
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            print(f"Python's {module} module is missing.")
            packages.append(f"python3.{sys.version_info.minor}-venv" if tool == "apt-get" else "python3")
    for name in missing(LIBRARIES):
        print(f"The system library {name} is missing; the window needs it.")
        packages.append(LIBRARIES[name][tool])
    if "--display" in sys.argv[1:]:
        for name in missing(DISPLAY_LIBRARIES):
            print(f"The system library {name} is missing; a window on X11 needs it.")
            packages.append(DISPLAY_LIBRARIES[name][tool])
    if not packages:
        return 0
    print("Nothing has been changed. This installs what is missing:")
    print(f"    {INSTALL[tool]} {' '.join(dict.fromkeys(packages))}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
