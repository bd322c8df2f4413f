"""Trees of files, and what containerd and prebake make different in them."""

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
    """path -> facts"""
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


def differences(theirs, ours):
    lines = []
    for path in sorted(theirs.keys() | ours.keys()):
        if path not in ours:
            lines.append(f"only containerd's tree has {path}: {theirs[path]}")
        elif path not in theirs:
            lines.append(f"only prebake's tree has {path}: {ours[path]}")
        else:
            for key in sorted(theirs[path].keys() | ours[path].keys()):
                one, other = theirs[path].get(key), ours[path].get(key)
                if one != other:
                    lines.append(f"{path}: {key}: containerd {one}, prebake {other}")
    return lines
