"""Random layers: tars of all formats, with what builders write and what they should not write.

A layer is a list of pieces, the bytes of one entry each (with its extended headers), so that a
failing layer can be reduced by leaving pieces out.
"""

import random

BLOCK = 512
# Types of entries.
FILE, HARD_LINK, SYMLINK, CHAR, BLOCKS, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
WITHOUT_CONTENTS = (HARD_LINK, SYMLINK, CHAR, BLOCKS, DIRECTORY, FIFO, b"g")
V7_FILE, GLOBAL, OLD_SPARSE, CONTIGUOUS = b"\0", b"g", b"S", b"7"

NAMES = [b"a", b"b", b"c", b"dir", b"f", b"lib", b"usr", b"ln", b"new\nline", b"\xff\xfe",
         b"\xe4\xb8\xad", b"sp ace", b"w" * 200, b"x" * 255]
ODD_NAMES = [b"", b".", b"..", b".wh.", b".wh..", b".wh...", b".wh..wh.plnk", b".wh..wh..opq.x",
             b"y" * 256, b".wh." + b"z" * 252, b"\x01", b"\\", b".wh"]
XATTRS = [b"user.colour", b"user.empty", b"trusted.secret", b"security.capability",
          b"security.other", b"nonsense.x", b"system.x", b"user." + b"n" * 250, b"",
          b"user." + b"n" * 251]
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def padded(data):
    return data + b"\0" * (-len(data) % BLOCK)


def octal(number, size):
    text = b"%0*o" % (size - 1, number)
    return text + b"\0" if len(text) < size else base_256(number, size)


def octal_with_spaces(number, size):
    return b"%*o " % (size - 1, number)


def short_octal(number, size):
    text = b" %o\0" % number
    return text.ljust(size, b"\0") if len(text) <= size else octal(number, size)


def base_256(number, size):
    data = bytearray((number % (1 << (8 * size))).to_bytes(size, "big"))
    data[0] |= 0x80
    return bytes(data)


class Header:
    """The fields of a header block. `numbers` encodes numbers."""

    def __init__(self, name, kind=FILE, **fields):
        self.fields = {"name": name, "mode": 0o644, "uid": 0, "gid": 0, "size": 0,
                       "mtime": 1_000_000_000, "kind": kind, "link": b"", "magic": b"ustar\x0000",
                       "major": 0, "minor": 0, "tail": b"", **fields}
        self.number = octal

    def block(self, signed=False, spoil_checksum=False):
        f = self.fields

        def number(key, size):
            value = f[key]
            if isinstance(value, bytes):
                return value[:size].ljust(size, b"\0")
            if value < 0 or value >= 8 ** (size - 1):
                return base_256(value, size)
            return self.number(value, size)

        data = bytearray(f["name"][:100].ljust(100, b"\0")
                         + number("mode", 8) + number("uid", 8) + number("gid", 8)
                         + number("size", 12) + number("mtime", 12) + b" " * 8 + f["kind"]
                         + f["link"][:100].ljust(100, b"\0") + f["magic"] + b"root".ljust(32, b"\0")
                         + b"root".ljust(32, b"\0") + number("major", 8) + number("minor", 8)
                         + f["tail"])
        data = data[:BLOCK].ljust(BLOCK, b"\0")
        total = sum(byte - 256 if signed and byte > 127 else byte for byte in data)
        data[148:156] = b"%06o\0 " % ((total + spoil_checksum) % 0o1000000)
        return bytes(data)


def pax_record(key, value):
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def extension(kind, body, name=b"././@extension"):
    magic = b"ustar  \0" if kind in b"LK" else b"ustar\x0000"
    return Header(name, kind, size=len(body), magic=magic).block() + padded(body)


def piece(name, kind=FILE, data=b"", records=(), **fields):
    """One entry, with PAX records if there are any, or if the name is long."""
    if len(name) > 100:
        records, name = [*records, (b"path", name)], b"short"
    body = b"".join(pax_record(key, value) for key, value in records)
    header = Header(name, kind, size=len(data), **fields)
    return (extension(b"x", body) if body else b"") + header.block() + padded(data)


class Maker:
    """Makes the layers of one seed. `wild` ones have more of what is an error."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.wild = self.random.random() < 0.2
        # Names that entries of all layers of the seed have in common.
        self.paths = [
            b"/".join(self.component() for _ in range(self.random.choice((1, 1, 2, 2, 3, 5))))
            for _ in range(self.random.randint(3, 12))]
        self.known = {}  # clean path -> type, of all layers
        self.of_layer = []  # paths of files of this layer, which links can refer to

    def chance(self, of_hundred):
        return self.random.random() * 100 < of_hundred

    def rarely(self, of_thousand):
        """Things that are mostly errors."""
        return self.random.random() * 1000 < of_thousand * (4 if self.wild else 0.3)

    def component(self):
        return self.random.choice(NAMES[:9] if self.chance(80) else NAMES)

    def path(self):
        """A path, most times one whose parents are no files."""
        path = self.any_path()
        for _ in range(5):
            parts = path.strip(b"/").split(b"/")
            above = (b"/".join(parts[:i]) for i in range(1, len(parts)))
            if not any(self.known.get(one, DIRECTORY) not in (DIRECTORY, SYMLINK) for one in above):
                break
            if self.chance(5):
                break
            path = self.any_path()
        return path

    def any_path(self):
        r = self.random
        path = r.choice(self.paths)
        directories = [path for path, kind in self.known.items() if kind == DIRECTORY]
        if directories and self.chance(50):
            path = r.choice(directories) + b"/" + self.component()
        if self.chance(30):
            path = path.rpartition(b"/")[0] or path
        if self.chance(25):
            path += b"/" + self.component()
        if self.chance(4):
            path = r.choice((b"/", b"./", b"//", b"../", b"../../", b"./../")) + path
        if self.chance(3):
            path += r.choice((b"/", b"/.", b"//", b"/./"))
        if self.chance(3):
            path = path.replace(b"/", r.choice((b"//", b"/./", b"/q/../")))
        if self.chance(2):
            path = r.choice((b"", b".", b"./", b"/", b"..", b"a/..", b"/..", b"../.."))
        if self.rarely(20):
            path += b"/" + r.choice(ODD_NAMES)
        if self.rarely(5):
            path += b"/" + b"/".join([b"d" * 99] * r.choice((10, 30, 36, 50)))
        return path

    def whiteout(self, path):
        above, _, name = path.rstrip(b"/").rpartition(b"/")
        name = b".wh..wh..opq" if self.chance(25) else b".wh." + name
        return (above + b"/" if above else b"") + name

    def link_target(self, kind):
        r = self.random
        target = self.path()
        if kind == HARD_LINK:
            if self.of_layer and self.chance(97):
                target = r.choice(self.of_layer)
            if self.chance(2):
                target += r.choice((b"/", b"/.", b"/..", b"/../b"))
            return target
        # No absolute target may exist on the host: see Contained::resolve().
        choice = r.random()
        if choice < 0.4:
            return self.component()
        if choice < 0.6:
            return b"../" * r.randint(1, 3) + target.lstrip(b"/.")
        if choice < 0.8:
            return b"/" + self.component()
        if choice < 0.97:
            return target
        return r.choice((b"", b"nowhere", b"l" * 4095, b"l" * 4096, b".", b"..", b"/"))

    def time(self):
        r = self.random
        choice = r.random()
        if choice < 0.6:
            return r.randint(0, 1_700_000_000)
        if choice < 0.8:
            return r.choice((0, 1, 2**31, 2**32, 2**33, 2**34 - 1))
        return r.choice((-1, -10**9, -10**11, 9_223_372_035, 9_223_372_036, 9_223_372_037, 2**62,
                         -2**62, 2**63 - 1, -2**63, -62_135_596_800, -62_135_596_801))

    def pax_time(self):
        r = self.random
        text = b"%d" % self.time()
        if self.chance(60):
            text += b"." + b"%0*d" % (r.choice((1, 3, 9, 12)), r.randint(0, 999))
        if self.rarely(30):
            text = r.choice((b"1.x", b"", b"-", b".5", b"1.", b"-0.5", b"+7.25", b"1e3", b" 1"))
        return text

    def identity(self):
        r = self.random
        if self.rarely(10):
            return r.choice((-1, 2**32 - 1, 2**32 + 5, -2, 2**40, -2**31))
        return r.choice((0, 0, 0, 1, 33, 1000, 65534, 2_000_000, 100_000_000))

    def pax_identity(self):
        return b"%d" % self.identity()

    def mode(self):
        r = self.random
        if self.rarely(5):
            return r.choice((-1, 0o100644, 0o777777, 2**40 + 0o644))
        return r.choice((0o644, 0o755, 0o600, 0, 0o4755, 0o2755, 0o1777, 0o6711, 0o7777,
                         r.randint(0, 0o7777)))

    def contents(self):
        r = self.random
        size = r.choice((0, 0, 1, 5, 511, 512, 513, 4096, r.randint(0, 3000)))
        if self.chance(1):
            size = r.choice((262_144, 300_000, 1_048_577))
        return (r.randbytes(min(size, 1000)) * (size // 1000 + 1))[:size]

    def kind(self):
        r = self.random
        if self.rarely(8):
            return r.choice((CONTIGUOUS, OLD_SPARSE, b"D", b"M", b"V", b"8", b"\xff", b"X", b" "))
        return r.choices((FILE, DIRECTORY, SYMLINK, HARD_LINK, CHAR, BLOCKS, FIFO, V7_FILE, GLOBAL),
                         (35, 30, 12, 8, 2, 2, 2, 4, 1))[0]

    # Entries ------------------------------------------------------------------------------------

    def layer(self, entries):
        """Pieces of a layer, the last of which is the end of the archive."""
        self.of_layer = []
        pieces = [self.entry() for _ in range(entries)]
        pieces.append(self.end())
        if self.rarely(40):
            pieces = [self.spoiled(piece) for piece in pieces]
        return pieces

    def end(self):
        r = self.random
        choice = r.random()
        if choice < 0.7:
            return b"\0" * BLOCK * r.choice((2, 2, 20))
        if choice < 0.8:
            return b"\0" * BLOCK * 2 + r.randbytes(r.choice((1, 512, 5000)))
        if choice < 0.9 or not self.wild:
            return b"" if self.chance(50) else b"\0" * BLOCK
        return r.choice((b"\0" * 100, b"\0" * (BLOCK + 7), b"x" * 30, b"x" * BLOCK))

    def spoiled(self, piece):
        r = self.random
        if not piece or not self.chance(30):
            return piece
        data = bytearray(piece)
        choice = r.random()
        if choice < 0.4:
            data[r.randrange(len(data))] ^= 1 << r.randrange(8)
        elif choice < 0.7:
            del data[r.randrange(len(data)):]
        else:
            data += b"\0" * r.choice((1, 512))
        return bytes(data)

    def entry(self):
        kind = self.kind()
        name = self.path()
        if kind != DIRECTORY and self.chance(90):  # most directories stay
            while self.known.get(name.strip(b"/")) == DIRECTORY:
                name = self.path() + b"/" + self.component()
        if kind == HARD_LINK and not self.of_layer and self.chance(97):
            kind = FILE
        if self.chance(10):
            name = self.whiteout(name)
            if self.chance(80):
                kind = FILE
        else:
            self.known[name.strip(b"/")] = kind
        make = self.random.choices(
            (self.ustar, self.pax, self.gnu, self.v7, self.star, self.sparse),
            (30, 35, 20, 5, 3, 7))[0]
        piece = make(name, kind)
        if kind in (FILE, SYMLINK, HARD_LINK, V7_FILE, FIFO) and b".wh." not in name:
            self.of_layer.append(name)
        return piece

    def header(self, name, kind, **fields):
        r = self.random
        link = self.link_target(kind) if kind in (HARD_LINK, SYMLINK) else b""
        data = b"" if kind in WITHOUT_CONTENTS else self.contents()
        header = Header(name, kind, mode=self.mode(), uid=self.identity(), gid=self.identity(),
                        mtime=self.time(), link=link, size=len(data))
        if kind in (CHAR, BLOCKS):
            header.fields.update(major=r.choice((0, 1, 8, 4095, 4096, 300)),
                                 minor=r.choice((0, 3, 255, 256, 70000, 2**20)))
        if self.rarely(10):  # types without contents may say one
            header.fields["size"] = r.choice((0, 1, 512, -1, 10**7, b"garbage", 2**62))
        if self.rarely(5):
            header.fields[r.choice(("mode", "uid", "gid", "mtime", "size", "major"))] = r.choice(
                (b"", b" 12 ", b"0x12", b"12 34", b"8", b"777\0junk", b"\x80\0\0\0\0\0\0\1",
                 b"\xff" * 12, b"+12", b"-12", b"\x80" + b"\xff" * 11))
        header.fields.update(fields)
        if self.chance(5):
            header.number = r.choice((base_256, octal_with_spaces, short_octal))
        return header, data

    def finished(self, header, data):
        return header.block(signed=self.chance(3), spoil_checksum=self.rarely(3)) + padded(data)

    def ustar(self, name, kind):
        if len(name) > 250:
            return self.pax(name, kind)
        prefix = b""
        if len(name) > 100 or self.chance(5):
            cut = name.find(b"/", max(0, len(name) - 101))
            if cut > 0 and cut <= 155:
                prefix, name = name[:cut], name[cut + 1:]
            elif len(name) > 100:
                return self.gnu(name, kind)
        header, data = self.header(name, kind, tail=prefix)
        return self.finished(header, data)

    def pax(self, name, kind):
        r = self.random
        header, data = self.header(name, kind)
        records = []
        if len(name) > 100 or self.chance(40):
            records.append((b"path", name))
            header.fields["name"] = b"short"
        link = header.fields["link"]
        if len(link) > 100 or (link and self.chance(30)):
            records.append((b"linkpath", link))
            header.fields["link"] = b"short"
        for key, value in ((b"mtime", self.pax_time), (b"atime", self.pax_time),
                           (b"ctime", self.pax_time), (b"uid", self.pax_identity),
                           (b"gid", self.pax_identity), (b"uname", lambda: b"somebody"),
                           (b"size", lambda: b"%d" % len(data)), (b"comment", lambda: b"x\0y"),
                           (b"SCHILY.acl.access", lambda: b"user::rwx")):
            if self.chance(15):
                records.append((key, value()))
        if self.chance(25):
            for _ in range(r.randint(1, 3)):
                records.append(self.xattr())
        if self.rarely(20):
            records.append(r.choice((
                (b"path", b""), (b"path", b"nul\0"), (b"size", b"-1"), (b"uid", b"x"),
                (b"uid", b"+3"), (b"gid", b""), (b"size", b"3 "), (b"", b"x"), (b"mtime", b""),
                (b"LIBARCHIVE.xattr.user.x", b"eA"), (b"a\0b", b"x"),
                (b"size", b"99999999999999999999"))))
        r.shuffle(records)
        body = b"".join(pax_record(key, value) for key, value in records)
        if self.rarely(8):
            body = r.choice((b"5 a=\n", b"6 a=b\n", b"7 a=b\n", b"x", b"10", b"4 =\n", b"3 a\n",
                             b"12 longer\n", b"011 a=b=c\n\n", b"+8 a=b\n", body[:-1],
                             b"\n" + body, body + b"\0"))
        if kind == GLOBAL:
            header.fields["size"] = len(body)
            return header.block() + padded(body)
        between = b""
        if self.chance(3):  # a header of the whole archive between the two, which loses the first
            between = extension(b"g", pax_record(b"comment", b"c"), b"g" + name[:50])
        return extension(b"x", body) + between + self.finished(header, data)

    def xattr(self):
        r = self.random
        name = r.choice(XATTRS[:5] if not self.rarely(100) else XATTRS)
        if name in (XATTRS[-1], XATTRS[-2]) and not self.wild:
            name = b"user.colour"
        value = r.choice((b"", b"red", b"\0\1=\n", b"v" * 300))
        if name == b"security.capability":
            value = CAPABILITY if not self.rarely(100) else b"broken"
        return b"SCHILY.xattr." + name, value

    def gnu(self, name, kind):
        r = self.random
        header, data = self.header(name, kind, magic=b"ustar  \0")
        out = b""
        link = header.fields["link"]
        if len(name) > 100 or self.chance(20):
            out += extension(b"L", name + r.choice((b"", b"\0", b"\0junk")))
            header.fields["name"] = b"short"
        if len(link) > 100 or (link and self.chance(20)):
            out += extension(b"K", link + r.choice((b"", b"\0")))
            header.fields["link"] = b"short"
        if self.chance(15):  # access and change time, or what old versions of Go wrote there
            header.fields["tail"] = r.choice((
                octal(r.randint(0, 2**31), 12) + octal(1, 12), base_256(-5, 12) + octal(1, 12),
                b"\0" * 12 + octal(9, 12), b"pre/fix", b"lib/usr/long/prefix/of/go",
                b"\xff\xee", b"12345678901 12345678901 "))
        return out + self.finished(header, data)

    def v7(self, name, kind):
        header, data = self.header(name[:100], kind, magic=b"\0" * 8, tail=b"")
        header.fields.update(major=b"garbage", minor=b"garbage")
        return self.finished(header, data)

    def star(self, name, kind):
        header, data = self.header(name[:100], kind)
        accessed = octal(self.random.randint(0, 2**31), 12)
        header.fields["tail"] = bytes(131) + accessed + octal(3, 12) + bytes(8) + b"tar\0"
        return self.finished(header, data)

    def sparse(self, name, kind):
        """Sparse files of GNU tar, in its formats 0.0, 0.1, 1.0, and the old one."""
        r = self.random
        runs, position = [], 0
        for _ in range(r.randint(0, 6)):
            position += r.choice((0, 1, 512, 1000, 100_000))
            length = r.choice((0, 1, 511, 512, 600))
            runs.append((position, length))
            position += length
        size = position + r.choice((0, 0, 1, 70_000))
        data = r.randbytes(sum(length for _, length in runs))
        if self.rarely(40):
            runs = [(at - 1, length + 1) for at, length in runs]
        if self.rarely(40):
            data = data[:-1] if self.chance(50) else data + b"x"
        if self.rarely(20):
            size = r.choice((-1, 0, size - 1))  # not a huge one: containerd writes its zeros
        # containerd refuses files of the old format, unless they are whiteouts.
        form = r.choice(("0.0", "0.1", "1.0", "1.0", "old" if self.wild else "0.1"))
        if kind not in (FILE, V7_FILE) and not self.wild:
            kind = FILE
        if form == "old":
            return self.old_sparse(name, runs, size, data)
        records = [(b"GNU.sparse.size" if form < "1" else b"GNU.sparse.realsize", b"%d" % size)]
        if form != "0.0" or self.chance(50):
            records += [(b"GNU.sparse.major", form[:1].encode()),
                        (b"GNU.sparse.minor", form[2:].encode())]
        if self.chance(50) or len(name) > 100:
            records.append((b"GNU.sparse.name", name))
        body = b""
        if form == "1.0":
            table = b"%d\n" % len(runs) + b"".join(b"%d\n%d\n" % run for run in runs)
            data = padded(table) + data
        else:
            records.append((b"GNU.sparse.numblocks", b"%d" % (len(runs) + self.rarely(20))))
        if form == "0.1":
            records.append((b"GNU.sparse.map", b",".join(b"%d,%d" % run for run in runs)))
        if form == "0.0":
            body = b"".join(pax_record(b"GNU.sparse.offset", b"%d" % at)
                            + pax_record(b"GNU.sparse.numbytes", b"%d" % length)
                            for at, length in runs)
        body = b"".join(pax_record(key, value) for key, value in records) + body
        header, _ = self.header(name[:100], kind)
        header.fields["size"] = len(data)
        return extension(b"x", body) + self.finished(header, data)

    def old_sparse(self, name, runs, size, data):
        header, _ = self.header(name[:100], OLD_SPARSE, magic=b"ustar  \0")
        area = [octal(at, 12) + octal(length, 12) for at, length in runs]
        tail = b"\0" * 41 + b"".join(area[:4]).ljust(96, b"\0") + (b"\1" if area[4:] else b"\0") \
            + (octal(size, 12) if size >= 0 else base_256(size, 12))
        header.fields.update(size=len(data), tail=tail)
        more = b"".join(area[4:]).ljust(504, b"\0") + b"\0" * 8 if area[4:] else b""
        return header.block() + more + padded(data)
