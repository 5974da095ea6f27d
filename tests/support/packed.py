"""Archives of any members, as a test wants them."""

import io
import stat
import tarfile
import zipfile


def make_zip(entries, compression=zipfile.ZIP_DEFLATED):
    """Bytes of a .zip of name → content; None: a folder, a str: a link to it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is, on every system
            info.compress_type = compression
            info.external_attr = (stat.S_IFLNK if isinstance(content, str) else 0) << 16
            archive.writestr(info, content or b"")
    return file.getvalue()


def make_tar(entries):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content) if isinstance(content, bytes) else 0
            info.type = {bytes: tarfile.REGTYPE, str: tarfile.SYMTYPE}.get(type(content), tarfile.DIRTYPE)
            info.linkname = content if isinstance(content, str) else ""
            archive.addfile(info, io.BytesIO(content or b"") if info.size else None)
    return file.getvalue()
