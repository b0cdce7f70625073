"""The user's own modules and data files of one run: imported for this run alone, recorded, and compared.

Python keeps one text of a module per process, whatever has happened to its file. So a run imports its own modules
(`pinn_cli.problems`, and every module outside the installed packages that these import) by a finder of its own, from
their files or from the texts in a results file, and keeps them out of `sys.modules` while it is not active. What is
recorded is therefore the text that was compiled, and two runs never share a module.

Data files are those that the own modules open, also through a library; Python reports each opening (PEP 578).
"""

import builtins
import errno
import hashlib
import linecache
import os
import stat
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from difflib import unified_diff
from functools import lru_cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import decode_source
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.basics.files import cache
from pinn_cli.records.provenance import short_hash
from pinn_cli.records.results import Noted, Results

PROBLEMS = "pinn_cli.problems"  # the problems of pinn itself are recorded as the user's own are
PACKAGE = Path(__file__).resolve().parents[1]
PROBLEM_FILES = next(folder for folder in (PACKAGE / "problems", PACKAGE.parent / "problems") if folder.is_dir())
_STDLIB = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})
_SYSTEM = tuple(f"{os.sep}{name}{os.sep}" for name in ("proc", "sys", "dev", "etc", "usr"))  # never data of a user
_CHUNK = 1 << 20
LONGEST = 100  # characters of a line that is shown

WAY = "put it back as it was, or go on with --changed"

_active: list["Sources"] = []  # the innermost is last
_loaded: set[str] = set()  # all names under which modules were imported for a run


@dataclass(frozen=True)
class Text:
    """The text of a module and its file, relative to the project if it lies there."""

    text: str
    file: str


class Sources:
    """The own modules of one run, from their files, or with `recorded` from these texts only."""

    def __init__(self, recorded: Mapping[str, Text] | None = None) -> None:
        self.project = Path.cwd().resolve()
        self.recorded = recorded
        self.texts: dict[str, Text] = {}
        self.data: dict[str, str] = {}  # SHA-256 by file
        self.before: dict[str, str] = {}  # what `pinn resume --changed` has replaced: its modules and data, by number
        self._modules: dict[str, ModuleType] = {}
        self._written = ""  # the hash that the results file has

    @property
    def hash(self) -> str:
        """The attribute `source`."""
        return short_hash({module: source.text for module, source in self.texts.items()} | self.before, self.data)

    def groups(self) -> dict[str, Any]:
        """What a results file keeps."""
        self._written = self.hash
        texts = {name: Noted(source.text, {"sha256": _sha256(source.text.encode()), "file": source.file})
                 for name, source in sorted(self.texts.items())}  # fmt: skip
        before = {"source_before": dict(self.before)} if self.before else {}
        return {"source": texts, "data": _lines(self.data), **before}

    def update(self, results: Results) -> None:
        """Write again what has been imported or read since the last time."""
        if self.hash != self._written:
            results.replace(self.groups(), {"source": self.hash})

    def go_on_from(self, results: Results, changed: bool) -> None:
        """Add what the results file of this run has recorded; with `changed`, as what the run had before.

        Raises UsageError for a text that differs, unless `changed`.
        """
        texts, data, self.before = recorded_in(results), data_in(results), results.read("source_before")
        self._written = str(results.read_attributes().get("source", ""))
        if not changed:
            self._refuse_other_texts(texts, results.path.parent)
            self.texts, self.data = texts | self.texts, data | self.data
            return
        for file in data:
            self.note_file(Path(file))  # none for a file that is gone
        same_texts = all(texts.get(module) == source for module, source in self.texts.items())
        same_data = all(self.data.get(file) == digest for file, digest in data.items())
        if same_texts and same_data:
            self.texts = texts | self.texts
            return
        number = 1 + max((int(name.partition("/")[0]) for name in self.before), default=-1)
        earlier = {module: source.text for module, source in texts.items()} | {"data": _lines(data)}
        self.before |= {f"{number}/{name}": text for name, text in earlier.items()}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Own modules are imported for this run; modules of the same names are hidden meanwhile."""
        if _active[-1:] == [self]:
            yield
            return
        hidden = {name: sys.modules.pop(name) for name in self._hidden()}
        sys.modules.update(self._modules)
        package, finder = sys.modules["pinn_cli"], _Finder(self, hidden)
        problems = package.__dict__.pop("problems", None)
        sys.meta_path.insert(0, finder)
        _active.append(self)
        known = set(sys.modules)
        try:
            yield
        finally:
            _loaded.update(name for name in sys.modules.keys() - known if _loader(sys.modules[name]))  # also an alias
            _active.remove(self)
            sys.meta_path.remove(finder)
            for name in [name for name in _loaded if _loader(sys.modules.get(name), self)]:
                self._modules[name] = sys.modules.pop(name)
            sys.modules.update(hidden)
            package.__dict__.pop("problems", None)
            if problems is not None:
                package.__dict__["problems"] = problems

    def _hidden(self) -> list[str]:
        """The modules that the run must not see, since they may have an older text: those of its project, of others."""
        roots: dict[str, list[str]] = {}
        for name in sys.modules:
            roots.setdefault(name.partition(".")[0], []).append(name)
        own = [name for root, names in roots.items() if self._is_of_project(sys.modules.get(root)) for name in names]
        loaded = [name for name in _loaded if _loader(sys.modules.get(name))]
        return list({*own, *loaded, *(name for name in roots["pinn_cli"] if _below(name, PROBLEMS))})

    def _is_of_project(self, module: ModuleType | None) -> bool:
        place = _place(module)
        return place is not None and _is_own_below(place, self.project)

    def _refuse_other_texts(self, recorded: Mapping[str, Text], run: Path) -> None:
        """Refuse modules that are imported now, although the run has not recorded them so (UsageError)."""
        for module, source in self.texts.items():
            if module not in recorded:
                raise UsageError(f"{module} ({source.file}) was no module of the run {run}; {WAY}")
            refuse_difference(module, recorded[module].text, source)

    def refuse_other_data(self, recorded: Mapping[str, str], run: Path) -> None:
        """Refuse data files that were read now and have changed since the run read them (UsageError)."""
        for file, digest in self.data.items():
            way = f"put it back as it was, or load {run} with --changed (in Python changed=True)"
            _refuse_other_hash(file, recorded.get(file, digest), digest, way)

    def note_text(self, module: str, text: str, file: Path) -> None:
        """Keep the text that is about to be executed."""
        if module != PROBLEMS:
            self.texts[module] = Text(text, self._named(file))

    def note_file(self, path: Path) -> None:
        """Keep the hash of a data file, unless it is known."""
        name = self._named(path.resolve())
        if name not in self.data:
            with suppress(OSError):
                self.data[name] = hash_of(path)

    def _named(self, file: Path) -> str:
        for place, name in ((PROBLEM_FILES, "pinn_cli/problems"), (self.project, "")):
            if file.is_relative_to(place):
                return (name / file.relative_to(place)).as_posix()
        return str(file)

    def importing(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """The `__import__` of the own modules: also in a function that is called when the run is not active."""
        with self.active():
            if not level:
                next(finder for finder in sys.meta_path if isinstance(finder, _Finder)).hide(name.partition(".")[0])
            return builtins.__import__(name, globals, locals, fromlist, level)


@contextmanager
def current() -> Iterator[None]:
    """The own modules of the active run; outside of a run, those of the project as they are now."""
    with nullcontext() if _active else Sources().active():
        yield


def note_data(path: str | Path) -> None:
    """Keep the hash of a data file that pinn itself reads for the active run."""
    if _active:
        _active[-1].note_file(Path(path))


def is_recorded(root: str) -> bool:
    """Whether the active run takes modules of this package from its record."""
    recorded = _active[-1].recorded if _active else None
    return recorded is not None and any(_below(name, root) for name in recorded)


def recorded_in(results: Results) -> dict[str, Text]:
    """The texts by module in a results file."""
    return {module: Text(text, str(results.read_attributes(f"source/{module}").get("file") or _file_of(module)))
            for module, text in results.read("source").items()}  # fmt: skip


def data_in(results: Results) -> dict[str, str]:
    """The SHA-256 by data file in a results file."""
    lines = str(results.read("data").get("", "")).splitlines()
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines) if file}


def refuse_changed(results: Results, way: str = WAY) -> None:
    """Refuse to go on with a run if a module or a data file of it has changed (UsageError): nothing is imported.

    A data file that is missing raises MachineError: it may be there later.
    """
    for module, source in recorded_in(results).items():
        try:
            now = _now(module, source)
        except OSError:
            raise UsageError(f"there is no {source.file} in {Path.cwd()}; cd to the folder where the run was started"
                             ) from None  # fmt: skip
        refuse_difference(module, source.text, Text(now, source.file), way)
    for file, digest in data_in(results).items():
        try:
            _refuse_other_hash(file, digest, hash_of(Path(file)), way)
        except OSError as error:
            raise MachineError(f"{file}, which the run has read, cannot be read now ({error.strerror})") from None


def refuse_untrusted(results: Results) -> None:
    """Refuse a recorded text that is neither here nor one that this user has trained with (UsageError)."""
    for module, source in recorded_in(results).items():
        if (cache("sources") / _sha256(source.text.encode())).exists():
            continue
        try:
            difference = _difference(source.text, _now(module, source))
        except OSError:
            difference = f"there is no {source.file} here"
        if difference:
            raise UsageError(
                f"{results.path.parent} has recorded a {module} that was never trained with here ({difference}); to "
                "run it, if you trust who wrote it, type --trust (in Python trust_source=True)"
            )


def trust(texts: Mapping[str, Text]) -> None:
    """Remember that this user has trained with these texts: `load` may run them from a results file."""
    with suppress(OSError):
        folder = cache("sources")
        folder.mkdir(parents=True, exist_ok=True)
        for source in texts.values():
            (folder / _sha256(source.text.encode())).touch()


def is_own(file: Path) -> bool:
    """Whether a file is the user's, and not of Python, of an installed package, or of pinn."""
    text = str(file)
    installed = "site-packages" in file.parts or "dist-packages" in file.parts or text.startswith(_STDLIB)
    return not installed and not file.is_relative_to(PACKAGE)


def hash_of(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    _require_regular(path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while part := os.read(descriptor, _CHUNK):
            digest.update(part)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


class _Loader(Loader):
    """Executes the text of a module; `text` is None for a package without a file."""

    def __init__(self, sources: Sources, text: str | None) -> None:
        self.sources, self.text = sources, text

    def get_source(self, name: str) -> str:
        return self.text or ""

    def exec_module(self, module: ModuleType) -> None:
        _loaded.add(module.__name__)
        if self.text is not None:
            assert module.__spec__ is not None
            vars(module)["__builtins__"] = vars(builtins) | {"__import__": self.sources.importing}
            code = compile(self.text, module.__spec__.origin or module.__name__, "exec", dont_inherit=True)
            exec(code, vars(module))


class _Finder(MetaPathFinder):
    """Finds the modules that own code imports, if they are own themselves."""

    def __init__(self, sources: Sources, hidden: dict[str, ModuleType]) -> None:
        self.sources, self.hidden = sources, hidden

    def hide(self, root: str) -> None:
        """Hide an own module outside the project that this process has imported before."""
        place = _place(sys.modules.get(root))
        if place is None or root == "pinn_cli" or not is_own(place) or _loader(sys.modules[root]) or _is_compiled(root):
            return
        for name in [name for name in sys.modules if _below(name, root)]:
            self.hidden[name] = sys.modules.pop(name)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] == "pinn_cli" and not _below(name, PROBLEMS):
            return None
        if not _asked_by_own_code(sys._getframe(1)):
            return None
        return self._from_record(name, path) if self.sources.recorded is not None else self._from_file(name, path)

    def _from_file(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        spec = self._usual(name, path)
        if spec is None or not self._is_own(spec, name):
            return None
        if spec.origin is None:
            return self._spec(name, None, None, list(spec.submodule_search_locations or []))
        if not spec.origin.endswith(".py"):
            self.sources.note_file(Path(spec.origin))  # a compiled module
            return None
        file = Path(spec.origin).resolve()
        text = decode_source(file.read_bytes())
        self.sources.note_text(name, text, file)
        return self._spec(name, text, spec.origin, spec.submodule_search_locations)

    def _from_record(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        recorded = self.sources.recorded or {}
        if name in recorded:
            source, file = recorded[name], _path(name, recorded[name])
            self.sources.texts[name] = source
            return self._spec(name, source.text, str(file), [str(file.parent)] if file.stem == "__init__" else None)
        if any(other.startswith(f"{name}.") for other in recorded):
            return self._spec(name, None, None, [])
        spec = self._usual(name, path)
        if spec is not None and self._is_own(spec, name):
            raise ModuleNotFoundError(f"{name} is not among the modules that the run has recorded", name=name)
        return None

    def _spec(self, name: str, text: str | None, file: str | None, places: list[str] | None) -> ModuleSpec:
        spec = ModuleSpec(name, _Loader(self.sources, text), origin=file, is_package=places is not None)
        spec.has_location = file is not None
        if places is not None:
            spec.submodule_search_locations = places
        return spec

    def _usual(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        others = (finder for finder in sys.meta_path if not isinstance(finder, _Finder))
        return next((spec for finder in others if (spec := finder.find_spec(name, path)) is not None), None)

    def _is_own(self, spec: ModuleSpec, name: str) -> bool:
        places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or [])
        place = Path(places[0]).resolve() if places else None
        inside = place is not None and place.is_relative_to(self.sources.project)
        own = place is not None and is_own(place) and (inside or not _is_compiled(name.partition(".")[0]))
        return own or _below(name, PROBLEMS)


# ---- small questions


def refuse_difference(name: str, then: str, now: Text, way: str = WAY, what: str = "the run") -> None:
    """Refuse a text that is not the one of then, showing the first changes (UsageError)."""
    if difference := _difference(then, now.text):
        raise UsageError(f"{name} has changed since {what} began ({now.file} {difference}); {way}")


def _refuse_other_hash(file: str, then: str, now: str, way: str) -> None:
    if then != now:
        raise UsageError(f"{file} has changed since the run began (SHA-256 {then[:8]}..., now {now[:8]}...); {way}")


def _difference(then: str, now: str) -> str:
    """``line 12: -old; +new``; "" if the texts are the same."""
    lines = list(unified_diff(then.splitlines(), now.splitlines(), lineterm="", n=0))[2:]
    if not lines:
        return "" if then == now else "the line ends"
    first = lines[0].split()[2].removeprefix("+").partition(",")[0]
    changed = [line if len(line) <= LONGEST else f"{line[:LONGEST]}..." for line in lines if not line.startswith("@@")]
    return f"line {first}: " + "; ".join(changed[:4]) + (" ..." if len(changed) > 4 else "")


def _path(module: str, source: Text) -> Path:
    """Where the file of a recorded module is, or would be, now."""
    if _below(module, PROBLEMS):
        return PROBLEM_FILES / _file_of(module.removeprefix(f"{PROBLEMS}."))
    return Path.cwd().resolve() / source.file


def _now(module: str, source: Text) -> str:
    """The text in the file of a recorded module now (Raises OSError)."""
    _require_regular(_path(module, source))
    try:
        return decode_source(_path(module, source).read_bytes())
    except (SyntaxError, UnicodeDecodeError):
        return ""


def _require_regular(path: Path) -> None:
    """Raise OSError for what is no file, which reading might never end, or not there."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "no regular file")


def _lines(data: Mapping[str, str]) -> str:
    """Data files as `sha256sum` prints them."""
    return "".join(f"{digest}  {file}\n" for file, digest in sorted(data.items()))


def _file_of(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _below(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _loader(module: ModuleType | None, sources: Sources | None = None) -> bool:
    """Whether a module was imported for a run, or for this one."""
    loader = getattr(module, "__loader__", None)
    return type(loader) is _Loader and sources in (None, loader.sources)


def _place(module: ModuleType | None) -> Path | None:
    """The file of a module, or the folder of a package without one; None for a built-in module and for `__main__`."""
    if module is None or module.__name__ == "__main__":
        return None
    file, folders = getattr(module, "__file__", None), list(getattr(module, "__path__", None) or [])
    place = file if isinstance(file, str) else folders[0] if folders and isinstance(folders[0], str) else None
    return _resolved(place) if place is not None and os.path.isabs(place) else None


# A run looks at every module of the process whenever it begins to import, so what is known of their files is kept.
@lru_cache(None)
def _resolved(place: str) -> Path:
    return Path(place).resolve()


@lru_cache(None)
def _is_own_below(place: Path, project: Path) -> bool:
    return place.is_relative_to(project) and is_own(place)


def _is_compiled(root: str) -> bool:
    """Whether compiled modules of this package are loaded: they cannot be imported a second time."""
    files = (getattr(module, "__file__", None) for name, module in [*sys.modules.items()] if _below(name, root))
    return any(isinstance(file, str) and file.endswith(tuple(EXTENSION_SUFFIXES)) for file in files)


def _asked_by_own_code(frame: FrameType | None) -> bool:
    """Whether own code, pinn or Hydra wants to import something; a library that imports its own parts does not."""
    while frame is not None and (_is_import(frame) or frame.f_code.co_filename == __file__):
        frame = frame.f_back
    if frame is None:
        return False
    return _is_own_frame(frame) or str(frame.f_globals.get("__name__")).startswith(("pinn_cli.", "hydra."))


def _is_import(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return frame.f_code.co_filename.startswith("<frozen importlib") or _below(name, "importlib")


def _is_own_frame(frame: FrameType) -> bool:
    return isinstance(frame.f_globals.get("__loader__"), _Loader)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note a file that own code opens to read; called by Python at every event that it audits."""
    if event != "open" or not _active or len(arguments) != 3:
        return
    path, mode, flags = arguments
    reading = not flags & (os.O_WRONLY | os.O_RDWR) if mode is None else mode.rstrip("bt") == "r"  # None: by os.open
    if not reading or not isinstance(path, str | bytes | os.PathLike):
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not _is_own_frame(frame):
        if _is_import(frame) or frame.f_code is hash_of.__code__ or frame.f_globals is vars(linecache):
            return  # linecache reads the text of code for a traceback, which is no data
        frame = frame.f_back
    file = Path(os.fsdecode(path)).absolute()
    apart = ".cache" in file.parts or str(file).startswith(_SYSTEM)
    if frame is not None and is_own(file) and not apart and file.is_file():
        frame.f_globals["__loader__"].sources.note_file(file)


sys.addaudithook(_watch)
