"""Attempts to leave the sandbox; runs inside it: `python hostile.py FACTS`, standard library only.

Each function is one attempt. It is held if it raises OSError or returns nothing; what it returns is what it got.
`FACTS` is about the host: things that are really there to be reached.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
HOST = {}
X86 = platform.machine() == "x86_64"
TIMEOUT = 0.2
REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def call(x86, arm, *arguments):
    """A system call by its number; OSError if it is refused at once, whatever its arguments."""
    return _result(
        LIBC.syscall(ctypes.c_long(x86 if X86 else arm), *arguments), (errno.EPERM, errno.EACCES, errno.ENOSYS)
    )


def libc(name, *arguments):
    """A function of the C library; it may also find that its file does not exist."""
    return _result(getattr(LIBC, name)(*arguments), (*REFUSALS, errno.ENOENT))


def _result(result, refusals):
    if result >= 0:
        return f"result {result}"
    if ctypes.get_errno() in refusals:
        raise OSError(ctypes.get_errno(), "refused")
    return f"looked at, and then error {ctypes.get_errno()}"


def connect(family, kind, address):
    with socket.socket(family, kind) as probe:
        probe.settimeout(TIMEOUT)
        probe.connect(address)
        probe.send(b"hello")
        return "a connection"


# what was left open; before anything is opened here


def descriptors_left_open():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = []
    for fd in range(3, limit):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            found.append(fd)
    return found


# network


def tcp_to_the_host():
    return connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", HOST["tcp"]))


def tcp_to_the_internet():
    return connect(socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 53))


def tcp_over_ipv6():
    return connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", HOST["tcp"]))


def udp_to_the_host():
    """It may be sent, on a network of the program's own; the host looks whether it arrives."""
    connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", HOST["udp"]))


def a_name_server():
    return socket.getaddrinfo("example.com", 80)


def a_socket_with_an_abstract_name():
    return connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + HOST["abstract"])


def a_socket_in_the_file_system():
    return connect(socket.AF_UNIX, socket.SOCK_STREAM, HOST["socket"])


def the_container_engine():
    return connect(socket.AF_UNIX, socket.SOCK_STREAM, "/var/run/docker.sock")


def raw_packets():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def the_network_card():
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


def netlink():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


def the_hypervisor():
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


def the_kernels_cryptography():
    return socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)


# files


def read(path):
    with open(path, "rb") as file:
        return repr(file.read(100))


def a_secret():
    return read(HOST["secret"])


def a_secret_through_a_link():
    os.symlink(HOST["secret"], "link")
    return read("link")


def a_secret_by_another_name():
    os.link(HOST["secret"], "hard")
    return read("hard")


def a_secret_by_a_handle():
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    return libc("name_to_handle_at", -100, HOST["secret"].encode(), handle, ctypes.byref(mount), 0)


def write_outside():
    with open(HOST["secret"], "a") as file:
        file.write("overwritten")
    return "written"


def empty_a_file_outside():
    os.truncate(HOST["secret"], 0)
    return "emptied"


def create_outside():
    with open(os.path.join(HOST["folder"], "planted"), "w"):
        return "created"


def delete_outside():
    os.unlink(HOST["secret"])
    return "deleted"


def rename_outside():
    os.rename(HOST["secret"], HOST["secret"] + "2")
    return "renamed"


def unlock_a_file_outside():
    os.chmod(HOST["secret"], 0o777)
    return "changed"


def give_a_file_outside_away():
    os.chown(HOST["secret"], os.getuid(), os.getgid())
    return "changed"


def change_the_time_of_a_file_outside():
    os.utime(HOST["secret"], (0, 0))
    return "changed"


def watch_a_folder_outside():
    watcher = LIBC.inotify_init()
    return libc("inotify_add_watch", watcher, HOST["folder"].encode(), 0x100)


def the_list_of_passwords():
    return read("/etc/shadow")


def the_list_of_users():
    return read("/etc/passwd")


def our_home():
    found = os.listdir(HOST["home"])
    own = {part for path in (sys.prefix, sys.base_prefix) for part in path.split(os.sep)}
    return sorted(set(found) - own)  # on the way to the interpreter


def our_keys():
    return os.listdir(os.path.join(HOST["home"], ".ssh"))


def our_sources():
    return read(os.path.join(HOST["sources"], "pyproject.toml"))


def change_the_interpreter():
    return open(os.path.realpath(sys.executable), "r+b")


def plant_a_module():
    return open(os.path.join(os.path.dirname(os.__file__), "planted.py"), "w")


def plant_in_temporary_folders():
    """Allowed where these are the program's own; the host looks whether it sees the file."""
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/"):
        with contextlib.suppress(OSError), open(os.path.join(folder, HOST["token"]), "w") as file:
            file.write("planted")


def fill_the_root():
    return [folder for folder in ("/", "/dev", "/etc", "/usr", "/var", "/run") if os.access(folder, os.W_OK)]


# processes


def the_environment():
    return [name for name, value in os.environ.items() if "canary" in (name + value).lower()]


def environments_of_others():
    found = []
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            found += [pid] * ("canary" in read(f"/proc/{pid}/environ").lower())
    return found


def the_environment_of_the_first_process():
    return "canary" in read("/proc/1/environ").lower()


def the_parents_files():
    return os.listdir(f"/proc/{HOST['pid']}/root/")


def the_first_process_files():
    return read(f"/proc/1/root{HOST['secret']}")


def the_parents_memory():
    return open(f"/proc/{HOST['pid']}/mem", "rb")


def the_parents_descriptors():
    return os.listdir(f"/proc/{HOST['pid']}/fd")


def processes_of_others():
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) == HOST["pid"]]


def memory_of_another_process():
    return call(310, 270, HOST["pid"], 0, 0, 0, 0, 0)


def trace_the_parent():
    return libc("ptrace", 16, HOST["pid"], 0, 0)


def be_traced():
    return libc("ptrace", 0, 0, 0, 0)


def signal_to_us():
    os.kill(HOST["pid"], 0)
    return "it could be signalled"


def kill_a_process_of_ours():
    os.kill(HOST["victim"], signal.SIGKILL)
    return "killed"


def kill_the_watcher():
    """Held if this process goes on, which ends with it."""
    os.kill(os.getppid(), signal.SIGKILL)


def a_descriptor_of_our_process():
    return call(438, 438, os.pidfd_open(HOST["pid"]), 1, 0)


def limits_of_our_process():
    return resource.prlimit(HOST["pid"], resource.RLIMIT_NOFILE)


def slow_our_process_down():
    os.setpriority(os.PRIO_PROCESS, HOST["pid"], 19)
    return "slowed down"


def move_our_process():
    os.sched_setaffinity(HOST["pid"], {0})
    return "moved"


def run_before_all_others():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    return "first"


def memory_that_stays():
    return call(29, 194, 0, 4096, 0o1000 | 0o666)


def a_message_queue_that_stays():
    return libc("mq_open", b"/planted", os.O_CREAT | os.O_RDWR, 0o666, None)


def type_into_the_terminal():
    import fcntl

    with open("/dev/tty", "w") as terminal:
        return fcntl.ioctl(terminal, 0x5412, b"x")


def type_into_any_descriptor():
    number = ctypes.c_ulong(0x5412)
    with contextlib.suppress(OSError):
        return libc("ioctl", 0, number, b"x")
    if ctypes.get_errno() != 1:  # refused before anybody looked whether it is a terminal
        return f"errno {ctypes.get_errno()}"
    return None


# rights


def become_root():
    os.setuid(0)
    return "root"


def join_roots_group():
    os.setgroups([0])
    return "joined"


def a_program_that_makes_one_root():
    done = subprocess.run(["su", "-c", "id -u"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "0"


def gain_privileges_by_execution():
    return LIBC.prctl(39, 0, 0, 0, 0) != 1  # PR_GET_NO_NEW_PRIVS


def run_without_a_filter():
    return LIBC.prctl(21, 0, 0, 0, 0) != 2  # PR_GET_SECCOMP


def more_processes_than_allowed():
    with contextlib.suppress(ValueError):  # what Python makes of the refusal
        resource.setrlimit(resource.RLIMIT_NPROC, (10_000, 10_000))
        return "raised"
    return None


def raise_limits():
    for which in (resource.RLIMIT_FSIZE, resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return f"limit {which} is gone"
    return None


# the kernel


def mount():
    return libc("mount", b"none", b"/tmp", b"tmpfs", 0, None)


def unmount():
    return libc("umount2", b"/usr", 2)


def a_new_kind_of_mount():
    return call(430, 430, b"tmpfs", 0)


def change_the_root():
    os.chroot("/usr")
    return "changed"


def swap_the_root():
    return call(155, 41, b".", b".")


def a_user_namespace():
    return libc("unshare", 0x10000000)


def a_mount_namespace():
    return libc("unshare", 0x00020000)


def a_namespace_by_clone():
    pid = LIBC.syscall(ctypes.c_long(56 if X86 else 220), ctypes.c_long(0x10000000 | signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    os.waitpid(pid, 0)
    return "a process in its own namespace"


def a_namespace_by_clone3():
    arguments = struct.pack("=8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    pid = LIBC.syscall(ctypes.c_long(435), arguments, ctypes.c_long(len(arguments)))
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    os.waitpid(pid, 0)
    return "a process in its own namespace"


def join_a_namespace():
    return libc("setns", 0, 0)


def io_uring():
    return call(425, 425, 1, bytes(120))


def bpf():
    return call(321, 280, 0, bytes(72), 72)


def the_kernels_keys():
    return call(250, 219, 0, -3, 1)


def add_a_key():
    return call(248, 217, b"user", b"planted", b"x", 1, -3)


def performance_counters():
    return call(298, 241, bytes(128), 0, -1, -1, 0)


def page_faults_of_our_own():
    return call(323, 282, 0)


def another_kernel():
    return call(246, 104, 0, 0, 0, 0)


def a_kernel_module():
    return call(175, 105, b"", 0, b"")


def swap_space():
    return call(167, 224, b"swap", 0)


def restart_the_machine():
    return call(169, 142, 0, 0, 0, 0)  # with wrong magic numbers, should it be allowed


def change_the_clock():
    return call(227, 112, 0, struct.pack("=2q", 0, 0))


def rename_the_machine():
    socket.sethostname("planted")
    return "renamed"


def another_personality():
    return call(135, 92, 0x0040000)  # without random addresses


def watch_all_files():
    return call(300, 262, 0, 0)


def the_kernels_log():
    return call(103, 116, 3, ctypes.create_string_buffer(100), 100)


def a_call_that_is_too_young():
    return call(9999, 9999)


def calls_of_another_architecture():
    """The same processor runs 32-bit calls, whose numbers mean something else to the filter."""
    if not X86:
        return None
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    return None if os.WIFSIGNALED(os.waitpid(child, 0)[1]) else "answered"


# devices and settings


def a_device_file():
    os.mknod("device", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    return read("device")


def the_memory_of_the_machine():
    return open("/dev/mem", "rb")


def disks():
    return [name for name in os.listdir("/dev") if stat.S_ISBLK(os.stat(f"/dev/{name}").st_mode)]


def the_log_device():
    return read("/dev/kmsg")


def the_kernels_memory():
    return read("/proc/kcore")


def what_happens_at_a_crash():
    with open("/proc/sys/kernel/core_pattern", "w") as file:
        file.write("|/bin/true")
    return "changed"


def magic_keys():
    with open("/proc/sysrq-trigger", "w") as file:
        file.write("h")
    return "pressed"


def settings_of_the_kernel():
    return open("/sys/kernel/mm/transparent_hugepage/enabled", "w")


# limits


def many_threads():
    most, release = HOST["processes"], threading.Event()
    started = []
    try:
        for _ in range(5 * most):
            thread = threading.Thread(target=release.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:  # no more can be started
        pass
    finally:
        release.set()
        for thread in started:
            thread.join()
    return f"{len(started)} threads" if len(started) > most else None


def many_processes():
    most, children = HOST["processes"], []
    try:
        while len(children) < 5 * most:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except BlockingIOError:
        pass
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return f"{len(children)} processes" if len(children) > most else None


def many_open_files():
    files = []
    try:
        while len(files) < 2000:
            files.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return None
    finally:
        for file in files:
            os.close(file)
    return f"{len(files)} files"


def a_file_that_is_too_large():
    with open("large", "wb") as file:
        file.truncate(HOST["files_mb"] * 2**20 + 1)
    return "made"


def a_file_that_is_too_large_in_memory():
    os.ftruncate(os.memfd_create("large"), HOST["files_mb"] * 2**20 + 1)
    return "made"


def more_memory_than_allowed():
    try:
        return f"{len(bytearray(HOST['memory_mb'] * 2**20))} bytes"
    except MemoryError:
        return None


def attempts():
    """The functions above, in their order, but for those that help them."""
    helpers = {"call", "libc", "connect", "read", "attempts", "main"}
    functions = [name for name, value in globals().items() if getattr(value, "__module__", "") == __name__]
    return [name for name in functions if name not in helpers and not name.startswith("_")]


def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    found = {}
    for name in attempts():
        try:
            found[name] = str(globals()[name]() or "")
        except OSError:
            found[name] = ""
        except Exception as error:
            found[name] = f"the attempt itself is broken: {error!r}"
    return found


if __name__ == "__main__":
    HOST |= json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(main()))
