"""Which calls to the kernel a jail may not make, as a program that the kernel runs at each call (seccomp)."""

import errno
import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000  # the second numbering of x86_64, which would lead around the first
CLONE_THREAD = 0x00010000
UNNAMED = 0x00400000  # of the flags of `open`: a file without a name, which no look at a folder finds
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE = 0x00050000

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # places in what it is given; an argument has 8 bytes

# name -> its number on x86_64 and on aarch64; None where there is none
NEVER: dict[str, tuple[int | None, int | None]] = {
    # connections
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # processes and programs
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "sched_setattr": (314, 274),

    "sched_setaffinity": (203, 122), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "setpgid": (109, 154), "setsid": (112, 157),
    # memory and messages that outlive a process
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semctl": (66, 191),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # the file system as a whole, and files by other ways than their names
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "mknod": (133, None), "mknodat": (259, 33), "quotactl": (179, 60),
    "swapon": (167, 224), "swapoff": (168, 225), "fanotify_init": (300, 262),
    # the machine
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "acct": (163, 89), "personality": (135, 92), "iopl": (172, None),
    "ioperm": (173, None),
}
ITSELF = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
          "rt_tgsigqueueinfo": (297, 240), "prlimit64": (302, 261)}  # allowed where the first argument is this process
VALUES = {  # refused where an argument, counted from 0, has one of these values
    "prctl": ((157, 167), 0, (1,)),  # not to end with the host
    "fcntl": ((72, 25), 1, (8, 15)),  # a signal to others when a file is ready
}
BITS = {"open": ((2, None), 1, UNNAMED), "openat": ((257, 56), 2, UNNAMED)}  # refused where an argument has one of them
CLONE = (56, 220)
UNKNOWN = {"clone3": (435, 435), "openat2": (437, 437)}  # what they ask for is hidden from this program


def program(machine: str, pid: int) -> list[bytes]:
    """The instructions, 8 bytes each, for the process `pid`; none for a machine whose numbers are not known.

    Threads are allowed, processes are not: `clone` must have the flag of a thread. What hides its arguments from this
    program is answered as a kernel without it would, so that the C library takes what shows them.
    """
    if machine not in ARCHITECTURES:
        return []
    column = list(ARCHITECTURES).index(machine)
    made = [_op(LOAD, ARCHITECTURE), _op(JUMP_EQUAL, ARCHITECTURES[machine], 1, 0), _op(RETURN, KILL),
            _op(LOAD, NUMBER)]
    if machine == "x86_64":
        made += [_op(JUMP_AT_LEAST, X32, 0, 1), _refuse()]
    for numbers in NEVER.values():
        if numbers[column] is not None:
            made += [_op(JUMP_EQUAL, numbers[column], 0, 1), _refuse()]
    for numbers in ITSELF.values():
        made += [_op(JUMP_EQUAL, numbers[column], 0, 5), _op(LOAD, ARGUMENTS), _op(JUMP_EQUAL, pid, 2, 0),
                 _op(JUMP_EQUAL, 0 if numbers == ITSELF["prlimit64"] else pid, 1, 0), _refuse(), _op(RETURN, ALLOW)]
    made += [_op(JUMP_EQUAL, CLONE[column], 0, 4), _op(LOAD, ARGUMENTS), _op(JUMP_BITS, CLONE_THREAD, 1, 0),
             _refuse(), _op(RETURN, ALLOW)]
    for numbers in UNKNOWN.values():
        made += [_op(JUMP_EQUAL, numbers[column], 0, 1), _refuse(errno.ENOSYS)]
    for numbers, place, bits in BITS.values():
        if numbers[column] is not None:
            made += [_op(JUMP_EQUAL, numbers[column], 0, 4), _op(LOAD, ARGUMENTS + 8 * place),
                     _op(JUMP_BITS, bits, 0, 1), _refuse(), _op(RETURN, ALLOW)]
    for numbers, place, values in VALUES.values():
        made += [_op(JUMP_EQUAL, numbers[column], 0, 2 + 2 * len(values)), _op(LOAD, ARGUMENTS + 8 * place)]
        for value in values:
            made += [_op(JUMP_EQUAL, value, 0, 1), _refuse()]
        made.append(_op(RETURN, ALLOW))
    return [*made, _op(RETURN, ALLOW)]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _refuse(number: int = errno.EPERM) -> bytes:
    return _op(RETURN, REFUSE | number)
