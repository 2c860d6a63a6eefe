"""Downloads from a server that truncates, corrupts, stalls and forgets; archives made to do harm."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import http.server
import io
import socket
import ssl
import stat
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.data.public import (
    ArchiveError,
    DownloadError,
    Limits,
    OfflineError,
    PublicDataError,
    RemoteFile,
    Source,
    UnverifiedError,
    extract,
    fetch,
    install,
    source_named,
)
from lib.data.public.archives import gunzip
from lib.data.public.catalogue import SOURCES
from lib.data.public.cli import FetchCommand, ListCommand, catalogue, main, progress_line

BODY = bytes(range(256)) * 700  # 179,200 bytes: several network pieces
ETAG = '"one"'


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


GOOD = sha256(BODY)


class Server:
    """A web server in a thread. `pages` maps a path to what happens there; `seen` lists (path, Range header)."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[Handler], None]] = {}
        self.seen: list[tuple[str, str | None]] = []
        owner = self

        class Bound(Handler):
            server_state = owner

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.httpd.daemon_threads = True
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.httpd.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server_state: Server

    def do_GET(self) -> None:
        self.server_state.seen.append((self.path, self.headers.get("Range")))
        self.server_state.pages[self.path](self)

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def give(
        self, body: bytes = BODY, *, stop: int | None = None, etag: str = ETAG, ranges: bool = True, length: bool = True
    ) -> None:
        """Answer as a good server does, but send only the body's first `stop` bytes."""
        begin = 0
        asked = self.headers.get("Range")
        unchanged = self.headers.get("If-Range") in (None, etag)
        if asked and ranges and unchanged:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if length:
            self.send_header("Content-Length", str(len(body) - begin))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(body[begin:][:stop])
        self.wfile.flush()


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    made = Server()
    yield made
    made.httpd.shutdown()
    made.httpd.server_close()


@pytest.fixture
def server(shared_server: Server) -> Server:
    shared_server.pages, shared_server.seen = {}, []
    return shared_server


def get(urls: list[str], path: Path, checksum: str | None = GOOD, **options: object) -> Path:
    options = {"size": len(BODY), "pause": 0.0, "timeout": 5.0, "patience": 2} | options
    return fetch(urls, path, checksum=checksum, **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- downloads


def test_a_file_is_fetched_once_and_then_found(server: Server, tmp_path: Path) -> None:
    server.pages["/f"] = Handler.give
    steps: list[tuple[int, int | None]] = []
    path = get(
        [server.url("/f")], tmp_path / "deep" / "f.zip", progress=lambda done, total: steps.append((done, total))
    )
    assert path.read_bytes() == BODY and steps[-1] == (len(BODY), len(BODY))
    assert get([server.url("/f")], path) == path and len(server.seen) == 1
    assert sorted(p.name for p in path.parent.iterdir()) == [".f.zip.lock", "f.zip"]


def test_a_truncated_body_is_continued_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.pages["/f"] = lambda handler: handler.give(stop=50_000)
    assert get([server.url("/f")], tmp_path / "f").read_bytes() == BODY
    assert [asked for _, asked in server.seen] == [None, "bytes=50000-", "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize(
    "fault",
    [
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
    ],
)
@pytest.mark.parametrize("place", [(http.client.HTTPResponse, "read1"), (http.client.HTTPConnection, "getresponse")])
def test_every_fault_of_the_network_is_an_interruption(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str], fault: OSError
) -> None:
    owner, name = place
    honest, calls = getattr(owner, name), iter(range(1000))

    def faulty(*arguments: object, **options: object) -> object:
        if next(calls) == (1 if name == "read1" else 0):
            raise fault
        return honest(*arguments, **options)

    monkeypatch.setattr(owner, name, faulty)
    server.pages["/f"] = Handler.give
    assert get([server.url("/f")], tmp_path / "f").read_bytes() == BODY
    if name == "read1":
        assert len(server.seen) == 2 and (server.seen[1][1] or "").startswith("bytes=")


def test_a_network_that_stays_broken_is_one_error_and_a_disk_is_another(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages["/f"] = Handler.give

    def full(done: int, total: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DownloadError, match="disk is full"):
        get([server.url("/f")], tmp_path / "f", progress=full)

    def broken(*arguments: object) -> bytes:
        raise ssl.SSLEOFError(8, "EOF occurred in violation of protocol")

    monkeypatch.setattr(http.client.HTTPResponse, "read1", broken)
    with pytest.raises(DownloadError, match=r"violation of protocol.*by other means"):
        get([server.url("/f")], tmp_path / "g")


def test_a_later_call_goes_on_and_a_killed_download_has_no_final_name(server: Server, tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done > 60_000:
            raise KeyboardInterrupt

    server.pages["/f"] = Handler.give
    with pytest.raises(KeyboardInterrupt):
        get([server.url("/f")], tmp_path / "f", progress=stop)
    here = (tmp_path / "f.part").stat().st_size
    assert here > 60_000 and not (tmp_path / "f").exists()
    assert get([server.url("/f")], tmp_path / "f").read_bytes() == BODY
    assert server.seen[-1][1] == f"bytes={here}-"


@given(cut=st.integers(0, len(BODY) + 10), noted=st.booleans())
def test_resuming_at_any_byte_gives_the_same_file(
    shared_server: Server, tmp_path_factory: pytest.TempPathFactory, cut: int, noted: bool
) -> None:
    shared_server.pages = {"/f": Handler.give}
    folder = tmp_path_factory.mktemp("cut")
    url = shared_server.url("/f")
    (folder / "f.part").write_bytes((BODY + b"0123456789")[:cut])
    if noted:
        (folder / "f.part.json").write_text(f'{{"url": "{url}", "validator": "\\"one\\"", "total": {len(BODY)}}}')
    assert get([url], folder / "f").read_bytes() == BODY


def test_a_server_that_ignores_range_starts_again(server: Server, tmp_path: Path) -> None:
    tries = iter([70_000, None])
    server.pages["/f"] = lambda handler: handler.give(stop=next(tries), ranges=False)
    assert get([server.url("/f")], tmp_path / "f").read_bytes() == BODY
    assert server.seen[1][1] == "bytes=70000-"


def test_a_file_that_changed_meanwhile_is_not_glued_together(server: Server, tmp_path: Path) -> None:
    old = BODY[::-1]
    versions = iter([(old, '"old"', 70_000), (BODY, ETAG, None)])

    def page(handler: Handler) -> None:
        body, etag, stop = next(versions)
        handler.give(body, etag=etag, stop=stop)

    server.pages["/f"] = page
    assert get([server.url("/f")], tmp_path / "f").read_bytes() == BODY
    # Without any ETag only the checksum can tell; then the whole is fetched once more, in one go.
    (tmp_path / "g.part").write_bytes(old[:70_000])
    server.pages["/g"] = lambda handler: handler.give(etag="")
    assert get([server.url("/g")], tmp_path / "g").read_bytes() == BODY
    assert [asked for path, asked in server.seen if path == "/g"] == ["bytes=70000-", None]


def test_a_stalled_connection_is_dropped_and_continued(server: Server, tmp_path: Path) -> None:
    def page(handler: Handler) -> None:
        if handler.headers.get("Range"):
            handler.give()
        else:
            handler.give(stop=40_000)
            time.sleep(1.0)

    server.pages["/f"] = page
    start = time.monotonic()
    assert get([server.url("/f")], tmp_path / "f", timeout=0.2).read_bytes() == BODY
    assert time.monotonic() - start < 0.9 and server.seen[1][1] == "bytes=40000-"


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_mirror_takes_over_from_an_address_that_fails(server: Server, tmp_path: Path, status: int) -> None:
    server.pages["/dead"] = lambda handler: handler.send_error(status)
    server.pages["/f"] = Handler.give
    assert get([server.url("/dead"), server.url("/f")], tmp_path / "f").read_bytes() == BODY
    assert len(server.seen) == (2 if status < 500 else 3)  # what is gone stays gone; a busy server is asked again


def test_a_mirror_continues_what_another_address_began(server: Server, tmp_path: Path) -> None:
    server.pages["/half"] = lambda handler: handler.give(stop=0 if handler.headers.get("Range") else 90_000)
    server.pages["/f"] = lambda handler: handler.give(etag='"of the mirror"')
    assert get([server.url("/half"), server.url("/f")], tmp_path / "f").read_bytes() == BODY
    assert server.seen[-1] == ("/f", "bytes=90000-")


def test_a_corrupt_file_never_gets_its_name(server: Server, tmp_path: Path) -> None:
    wrong = BODY[:-1] + b"?"
    server.pages["/bad"] = lambda handler: handler.give(wrong)
    with pytest.raises(DownloadError, match=sha256(wrong)):
        get([server.url("/bad")], tmp_path / "f")
    assert [p.name for p in tmp_path.iterdir()] == [".f.lock"]
    server.pages["/f"] = Handler.give
    assert get([server.url("/bad"), server.url("/f")], tmp_path / "f").read_bytes() == BODY


def test_a_corrupt_file_in_pieces_is_given_up(server: Server, tmp_path: Path) -> None:
    server.pages["/f"] = lambda handler: handler.give(BODY[::-1], stop=60_000)
    with pytest.raises(DownloadError, match="gave another file"):
        get([server.url("/f")], tmp_path / "f")
    assert len(server.seen) == 6  # twice in three pieces


def test_a_longer_file_and_a_web_page_are_refused(server: Server, tmp_path: Path) -> None:
    def page(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html; charset=utf-8")
        handler.end_headers()
        handler.wfile.write(b"<html>please log in")

    server.pages |= {"/long": lambda handler: handler.give(BODY + BODY, length=False), "/page": page}
    with pytest.raises(DownloadError, match=r"more than the 179200 bytes.*web page"):
        get([server.url("/long"), server.url("/page")], tmp_path / "f")
    assert (tmp_path / "f.part").stat().st_size <= len(BODY)


def test_a_file_of_somebody_else_is_renamed_not_deleted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"my work")
    (tmp_path / "f.wrong-1").write_bytes(b"older")
    server.pages["/f"] = Handler.give
    assert get([server.url("/f")], tmp_path / "f").read_bytes() == BODY
    assert (tmp_path / "f.wrong-2").read_bytes() == b"my work" and (tmp_path / "f.wrong-1").read_bytes() == b"older"


def test_offline_says_which_file_to_place_where_and_then_takes_it(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/f"  # bound, but nobody listens
        with pytest.raises(OfflineError) as caught:
            get([dead], tmp_path / "f")
        for word in (dead, str(tmp_path / "f"), "0.2 MB", GOOD):
            assert word in str(caught.value)
        (tmp_path / "f").write_bytes(BODY)
        assert get([dead], tmp_path / "f").read_bytes() == BODY


def test_without_a_published_checksum_the_file_waits_for_trust(server: Server, tmp_path: Path) -> None:
    server.pages["/f"] = lambda handler: handler.give(length=False)
    with pytest.raises(UnverifiedError, match=GOOD) as caught:
        get([server.url("/f")], tmp_path / "f", checksum=None, size=None)
    assert caught.value.checksum == GOOD and not (tmp_path / "f").exists()
    assert get([], tmp_path / "f", checksum=GOOD, size=None).read_bytes() == BODY  # no second download


def test_without_a_checksum_nothing_of_unknown_origin_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"x" * 100)
    server.pages["/f"] = Handler.give
    with pytest.raises(UnverifiedError, match=GOOD):
        get([server.url("/f")], tmp_path / "f", checksum=None)
    assert server.seen == [("/f", None)]


def test_a_second_process_is_kept_away(server: Server, tmp_path: Path) -> None:
    def page(handler: Handler) -> None:
        with pytest.raises(DownloadError, match="Another process"):
            get([server.url("/f")], tmp_path / "f")
        server.seen.append(("refused", None))
        handler.give()

    server.pages["/f"] = page
    assert get([server.url("/f")], tmp_path / "f").read_bytes() == BODY
    assert ("refused", None) in server.seen


@pytest.mark.parametrize(
    ("urls", "checksum", "word"),
    [(["file:///etc/passwd"], GOOD, "no web address"), ([], "sha256:12", "no checksum"), ([], "crc:1", "no checksum")],
)
def test_wrong_arguments_are_told(tmp_path: Path, urls: list[str], checksum: str, word: str) -> None:
    with pytest.raises(DownloadError, match=word):
        fetch(urls, tmp_path / "f", checksum=checksum)


def test_a_full_disk_is_told_before_the_download(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="make room"):
        fetch([server.url("/f")], tmp_path / "f", checksum=GOOD, size=1 << 60)
    assert not server.seen


# ---------------------------------------------------------------------------------------------- archives


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as box:
        for name, data in members.items():
            box.writestr(name, data)
    return path


def tar_of(path: Path, members: list[tarfile.TarInfo], data: bytes = b"data") -> Path:
    with tarfile.open(path, "w:gz") as tape:
        for member in members:
            member.size = len(data) if member.isreg() else 0
            tape.addfile(member, io.BytesIO(data))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def refuses(archive: Path, word: str, limits: Limits | None = None) -> None:
    """The archive is refused, and its folder's parent holds afterwards what it held before."""
    place = archive.parent / "place"
    place.mkdir()
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(ArchiveError, match=word):
        extract(archive, place / "set", limits=limits)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_good_archive_is_unpacked_and_its_single_folder_unwrapped(tmp_path: Path, kind: str) -> None:
    if kind == "zip":
        members = {"s/trainA/1.jpg": b"data", "s/testB/2.jpg": b"data", "__MACOSX/s/._1.jpg": b"", "s/.DS_Store": b"x"}
        archive = zip_of(tmp_path / "a.zip", members)
    else:
        archive = tar_of(
            tmp_path / "a.tar.gz", [entry("s", tarfile.DIRTYPE), entry("./s/trainA/1.jpg"), entry("s/x/2.jpg")]
        )
    folder = extract(archive, tmp_path / "set")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == ({"trainA/1.jpg", "testB/2.jpg"} if kind == "zip" else {"trainA/1.jpg", "x/2.jpg"})
    assert (folder / "trainA/1.jpg").read_bytes() == b"data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {path.name for path in tmp_path.iterdir()} == {archive.name, "set"}
    with pytest.raises(ArchiveError, match="there already"):
        extract(archive, tmp_path / "set")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil", "\\\\host\\evil"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        zip_of(archive, {"fine": b"1", name: b"2"})
    else:
        tar_of(archive, [entry("fine"), entry(name)])
    refuses(archive, "leads out of its folder")


@pytest.mark.parametrize(
    "member",
    [
        entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("link", tarfile.LNKTYPE, "fine"),
        entry("dev", tarfile.CHRTYPE),
        entry("pipe", tarfile.FIFOTYPE),
    ],
    ids=["symlink", "hardlink", "device", "pipe"],
)
def test_links_and_devices_of_a_tar_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    refuses(tar_of(tmp_path / "a.tar", [entry("fine"), member]), "a link or a device")


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    refuses(tar_of(tmp_path / "a.tar", [entry("fine"), entry("holes", tarfile.GNUTYPE_SPARSE)]), "a link or a device")


def test_a_symlink_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as box:
        box.writestr(info, "/etc/passwd")
    refuses(tmp_path / "a.zip", "a link or a device")


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (Limits(members=2), "more than 2 members"),
        (Limits(member_bytes=10), "of 99 bytes"),
        (Limits(total_bytes=150), "more than 150 bytes"),
    ],
)
def test_too_much_is_refused(tmp_path: Path, limits: Limits, word: str) -> None:
    refuses(zip_of(tmp_path / "a.zip", {name: b"9" * 99 for name in "abc"}), word, limits)


def test_a_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    bomb = tarfile.TarInfo("zeros")
    bomb.size = 3 << 30
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(bomb.tobuf() + bytes(1024))
    refuses(tmp_path / "a.tar.gz", "times its own size")


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    data = zip_of(tmp_path / "a.zip", {"f": b"9" * 5000}).read_bytes()
    honest, lie = (5000).to_bytes(4, "little"), (50).to_bytes(4, "little")
    assert data.count(honest) == 2
    (tmp_path / "a.zip").write_bytes(data.replace(honest, lie))
    refuses(tmp_path / "a.zip", "damaged|more than it says")


def test_damaged_encrypted_doubled_and_strange_files_are_refused(tmp_path: Path) -> None:
    good = zip_of(tmp_path / "good.zip", {"f": bytes(range(256)) * 9}).read_bytes()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as box:
        box.writestr("f", "1")
        box.writestr("f", "2")
    encrypted = bytearray(good)
    encrypted[6] |= 1
    encrypted[good.index(b"PK\x01\x02") + 8] |= 1
    cases = {
        "damaged": good[:40] + b"????" + good[44:],
        "neither a zip": good[:-30],
        "twice": (tmp_path / "twice.zip").read_bytes(),
        "encrypted": bytes(encrypted),
        "of one name": zip_of(tmp_path / "both.zip", {"f": b"1", "f/g": b"2"}).read_bytes(),
        "empty": zip_of(tmp_path / "none.zip", {}).read_bytes(),
    }
    for number, (word, data) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.zip").write_bytes(data)
        refuses(folder / "a.zip", word)


def test_gunzip_is_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "f.gz").write_bytes(gzip.compress(BODY))
    assert gunzip(tmp_path / "f.gz", tmp_path / "f").read_bytes() == BODY
    (tmp_path / "g.gz").write_bytes(gzip.compress(BODY)[:-9])
    with pytest.raises(ArchiveError, match="damaged"):
        gunzip(tmp_path / "g.gz", tmp_path / "g")
    with pytest.raises(ArchiveError, match="more than it says"):
        gunzip(tmp_path / "f.gz", tmp_path / "h", limits=Limits(member_bytes=1000))
    assert {path.name for path in tmp_path.iterdir()} == {"f.gz", "f", "g.gz"}


# ---------------------------------------------------------------------------------------------- data sets


def toy_source(server: Server, archive: bytes, *, known: bool = True) -> Source:
    server.pages["/toy.zip"] = lambda handler: handler.give(archive)
    checksum = sha256(archive) if known else None
    file = RemoteFile("archives/toy.zip", (server.url("/toy.zip"),), len(archive), checksum)
    return Source("toy", "Toys", "CC0", "Nobody 2020", "http://example.org", "toy", (file,))


def test_a_data_set_is_installed_once(server: Server, tmp_path: Path) -> None:
    source = toy_source(server, zip_of(tmp_path / "z.zip", {"toy/trainA/1.jpg": b"1"}).read_bytes())
    folder = install(source, tmp_path / "data")
    assert (folder / "trainA" / "1.jpg").read_bytes() == b"1" and folder == tmp_path / "data" / "toy"
    assert install(source, tmp_path / "data") == folder and len(server.seen) == 1
    with pytest.raises(PublicDataError, match="nothing to trust"):
        install(source, tmp_path / "data", trust=GOOD)


def test_a_harmful_archive_from_the_network_leaves_nothing(server: Server, tmp_path: Path) -> None:
    source = toy_source(server, zip_of(tmp_path / "z.zip", {"../../evil": b"1"}).read_bytes())
    with pytest.raises(ArchiveError, match="leads out"):
        install(source, tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"archives"} and not list(tmp_path.rglob("evil"))


def test_trust_is_a_checksum_given_after_the_first_fetch(server: Server, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "z.zip", {"toy/train/1.jpg": b"1"}).read_bytes()
    source = toy_source(server, archive, known=False)
    with pytest.raises(UnverifiedError, match=sha256(archive)):
        install(source, tmp_path / "data")
    assert not (tmp_path / "data" / "toy").exists()
    assert (install(source, tmp_path / "data", trust=sha256(archive)) / "train" / "1.jpg").exists()
    assert len(server.seen) == 1


def test_single_gz_files_are_unpacked_beside_their_archive(server: Server, tmp_path: Path) -> None:
    packed = gzip.compress(BODY)
    server.pages["/x.gz"] = lambda handler: handler.give(packed)
    file = RemoteFile("MNIST/raw/x.gz", (server.url("/x.gz"),), len(packed), sha256(packed))
    source = Source("m", "M", "l", "c", "h", "MNIST", (file,))
    assert (install(source, tmp_path) / "raw" / "x").read_bytes() == BODY


def test_the_catalogue_is_sound() -> None:
    assert {"mnist", "svhn", "facades", "maps", "horse2zebra", "celeba", "celebamask-hq", "cityscapes"} <= set(SOURCES)
    for source in SOURCES.values():
        assert source.licence and source.citation and source.homepage.startswith("http")
        assert bool(source.files) != bool(source.by_hand)
        for file in source.files:
            assert all(url.startswith("http") and url.endswith(Path(file.path).name.removeprefix("pix2pix-"))
                       for url in file.urls)  # fmt: skip
            assert (file.checksum is None) == source.name.startswith("pix2pix-")
            assert file.checksum is None or len(file.checksum.partition(":")[2]) in (32, 64)
    with pytest.raises(PublicDataError, match="horse2zebra"):
        source_named("horses")


def test_the_commands_show_the_licence_and_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PublicDataError, match=r"CelebA-HQ-img.*place|place.*CelebA-HQ-img"):
        main(FetchCommand("celebamask-hq", root=tmp_path))
    shown = capsys.readouterr().out
    assert "licence" in shown and "MaskGAN" in shown
    (tmp_path / "CelebAMask-HQ").mkdir()
    assert main(FetchCommand("celebamask-hq", root=tmp_path)) == 0
    assert catalogue(ListCommand()) == 0 and "horse2zebra" in capsys.readouterr().out


def test_progress_is_one_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    show = progress_line("f.zip")
    show(1_000_000, 4_000_000)
    show(4_000_000, 4_000_000)
    assert screen.getvalue().splitlines()[-1].startswith("f.zip  100% of 4.0 MB")
