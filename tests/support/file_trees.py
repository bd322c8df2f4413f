"""Trees of files as data, to compare those that two programs made of the same layer."""

import hashlib
import os
import stat


def facts(path, status, started, groups):
    """What must be equal about a file. Times of the run itself are only "now"."""
    def when(nanoseconds):
        return "now" if nanoseconds >= started else nanoseconds

    kind = stat.S_IFMT(status.st_mode)
    found = {
        "mode": oct(status.st_mode), "owner": (status.st_uid, status.st_gid),
        "times": (when(status.st_atime_ns), when(status.st_mtime_ns)),
        "xattrs": {name: os.getxattr(path, name, follow_symlinks=False)
                   for name in os.listxattr(path, follow_symlinks=False)},
    }
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            found["contents"] = (status.st_size, hashlib.sha256(file.read()).hexdigest())
    if kind == stat.S_IFLNK:
        found["target"] = os.readlink(path)
        found["times"] = found["times"][1]  # reading a link changes the other one
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        found["device"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    if kind != stat.S_IFDIR and status.st_nlink > 1:
        found["same file"] = groups.setdefault(status.st_ino, path[len(groups["root"]):])
    return found


def tree_of(root, started):
    """path -> facts. `started`: nanoseconds; times since then are those of the run itself."""
    root = os.fsencode(root)
    groups = {"root": root}
    status = os.lstat(root)
    top = facts(root, status, started, groups)
    del top["times"]  # what the root has of the layer does not count
    tree = {b".": top}
    to_read = [root]
    while to_read:
        directory = to_read.pop()
        for name in sorted(os.listdir(directory)):
            path = directory + b"/" + name
            status = os.lstat(path)
            tree[path[len(root):]] = facts(path, status, started, groups)
            if stat.S_ISDIR(status.st_mode):
                to_read.append(path)
    return tree


def without_access_times(tree):
    """Reading a file may change its time of access."""
    for found in tree.values():
        if isinstance(found.get("times"), tuple):
            found["times"] = found["times"][1]
    return tree


def differences(trees, one, other):
    """What differs between trees[one] and trees[other], as lines."""
    first, second = trees[one], trees[other]
    lines = []
    for path in sorted(first.keys() | second.keys()):
        if path not in second:
            lines.append(f"only {one}'s tree has {path}: {first[path]}")
        elif path not in first:
            lines.append(f"only {other}'s tree has {path}: {second[path]}")
        else:
            for key in sorted(first[path].keys() | second[path].keys()):
                values = first[path].get(key), second[path].get(key)
                if values[0] != values[1]:
                    lines.append(f"{path}: {key}: {one} {values[0]}, {other} {values[1]}")
    return lines
