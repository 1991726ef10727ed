"""Which system calls a program may not make: a filter for the kernel's seccomp, assembled by hand.

What no program of ours needs, and where the kernel's faults have been found, is refused with EPERM; calls younger than
this list, `clone3` and `openat2` (whose flags the filter cannot see) do not exist (ENOSYS: libraries fall back to the
older ones). A call in another architecture's numbers kills the program.  https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import platform
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from aiga.core.errors import UsageError

EPERM, ENOSYS = 1, 38
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # instructions of the kernel's packet filter
X32 = 0x40000000
NEWEST = 462
"""The youngest call that was looked at (mseal, Linux 6.10); numbers from 424 on are the same everywhere."""
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); None: the architecture does not have it
REFUSED = {
    # other processes' memory and descriptors
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    # file systems and what holds us
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # large interfaces of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # what outlives a program
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
}
OUTSIDE = {
    # without a file system and namespaces of its own, a program could reach our user's files and processes with these
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "truncate": (76, 45),
    "inotify_add_watch": (254, 27),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
}
SIGNALS = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
ABSENT = {"clone3": (435, 435), "openat2": (437, 437)}
CLONE, IOCTL, SOCKET, PRLIMIT, OPEN, OPENAT, TGKILL, AFFINITY = (
    (56, 220),
    (16, 29),
    (41, 198),
    (302, 261),
    (2, None),
    (257, 56),
    (234, 131),
    (203, 122),
)
NAMESPACES = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
UNIX, INET, INET6 = 1, 2, 10
TRUNCATE, ACCESS = 0o1000, 0o3
SELF = 0x7FFFFFF5
"""Stands for the process that is filtered; no process has this number."""


class Check(NamedTuple):
    """A call that depends on an argument: refused if the masked argument is among `values`, or, if `only`, if not."""

    call: tuple[int, int | None]
    argument: int
    values: tuple[int, ...]
    only: bool = False
    mask: int = 0xFFFFFFFF


def contained() -> bytes:
    """For programs with a file system, processes and a network of their own (bubblewrap)."""
    return assemble(REFUSED, [*_common(), Check(SOCKET, 0, (UNIX, INET, INET6), only=True)])


def exposed(signals: bool) -> bytes:
    """For programs that share ours (Landlock): no sockets, and no change of what Landlock does not watch.

    Without `signals`, a process can send some only to itself: for kernels whose Landlock does not stop them. The
    filter then holds `SELF`, for which the process puts its own number.
    """
    checks = [
        *_common(),
        Check(SOCKET, 0, (), only=True),
        Check(PRLIMIT, 0, (0,), only=True),
        Check(AFFINITY, 0, (0,), only=True),
        Check(OPEN, 1, (TRUNCATE,), mask=TRUNCATE | ACCESS),  # emptying a file that may only be read
        Check(OPENAT, 2, (TRUNCATE,), mask=TRUNCATE | ACCESS),
    ]
    if signals:
        return assemble(REFUSED | OUTSIDE, checks)
    return assemble(REFUSED | OUTSIDE | SIGNALS, [*checks, Check(TGKILL, 0, (SELF,), only=True)])


def _common() -> list[Check]:
    return [
        Check(CLONE, 0, (0,), only=True, mask=NAMESPACES),
        Check(IOCTL, 1, (TIOCSTI, TIOCLINUX)),  # typing into a terminal
    ]


def assemble(refused: Mapping[str, tuple[int, int | None]], checks: list[Check]) -> bytes:
    """The filter's instructions for this machine."""
    machine = platform.machine()
    if machine not in AUDIT:
        raise UsageError(f"no system-call filter for {machine}; x86_64 and aarch64 have one.")
    column = list(AUDIT).index(machine)
    lines = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    if machine == "x86_64":
        lines += [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, KILL)]
    lines += [(AT_LEAST, 0, 1, NEWEST + 1), (RETURN, 0, 0, REFUSE | ENOSYS)]
    for error, calls in ((EPERM, refused), (ENOSYS, ABSENT)):
        for numbers in calls.values():
            if (number := numbers[column]) is not None:
                lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | error)]
    for check in checks:
        if (number := check.call[column]) is not None:
            lines += _inspect(number, check)
    lines.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _inspect(number: int, check: Check) -> Iterator[tuple[int, int, int, int]]:
    """Skip if it is another call; else look at the lower half of the argument, and read the number again."""
    last = len(check.values) - 1
    yield (EQUAL, 0, last + 5, number)
    yield (LOAD, 0, 0, 16 + 8 * check.argument)  # both architectures are little-endian
    yield (AND, 0, 0, check.mask)
    for index, value in enumerate(check.values):
        if check.only:
            yield (EQUAL, last - index + 1, 0, value)  # over the refusal
        else:
            yield (EQUAL, last - index, int(index == last), value)
    yield (RETURN, 0, 0, REFUSE | EPERM)
    yield (LOAD, 0, 0, 0)
