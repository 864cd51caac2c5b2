/** Ways out of a sandbox, each a real attempt that prints ESCAPED when it worked. */
import { bash, ESCAPED, isRoot, python, SECRET, type World } from "./shell-world.ts";

/**
 * Who can do it outside: the person, only root, perhaps
 * nobody (this machine may lack the thing), or it is not tried because it would disturb others. */
type Outside = "person" | "root" | "perhaps" | "not tried";

export interface Attempt {
  readonly name: string;
  readonly outside: Outside;
  readonly argv: (world: World) => string[];
}

const yes = `echo ${ESCAPED}`;
const says = `print("${ESCAPED}")`;
const has = (command: string) => `${command} 2>/dev/null | grep -q ${SECRET} && ${yes}`;

/** A shell line that succeeds, or prints the secret. */
const line = (name: string, outside: Outside, code: (world: World) => string): Attempt => ({
  name,
  outside,
  argv: (world) => bash(code(world)),
});
/** Python that comes to its end without an exception. */
const code = (name: string, outside: Outside, body: (world: World) => string): Attempt => ({
  name,
  outside,
  argv: (world) => python(`${body(world)}\n${says}`),
});
/** Python that connects, and prints what it is greeted with. */
const connect = (name: string, outside: Outside, open: (world: World) => string): Attempt => ({
  name,
  outside,
  argv: (world) => python(`import socket\n${open(world)}\nprint(s.recv(100).decode())`),
});
/** A raw system call (number on x64, on arm64) that is not refused. */
const call = (name: string, x64: number, arm64: number, args: string): Attempt =>
  code(
    name,
    "perhaps",
    () =>
      `import ctypes, os, platform\nlibc = ctypes.CDLL(None, use_errno=True)\n` +
      `n = ${x64} if platform.machine() == "x86_64" else ${arm64}\n` +
      `r = libc.syscall(n, ${args})\nassert r >= 0 or ctypes.get_errno() not in (1, 38), ctypes.get_errno()`,
  );
const opens = (name: string, path: string, outside: Outside): Attempt =>
  code(name, outside, () => `import os\nos.close(os.open("${path}", os.O_WRONLY))`);

export const attempts: readonly Attempt[] = [
  // Files.
  line("reads a private ssh key", "person", ({ base }) => has(`cat ${base}/home/.ssh/id`)),
  line("reads the agent's key", "person", ({ base }) => has(`cat ${base}/kith/keys/node.key`)),
  line("reads /etc/shadow", "root", () => `grep -q ^root: /etc/shadow && ${yes}`),
  line("reads a shared folder that was not asked for", "person", ({ base }) =>
    has(`cat ${base}/other/note`),
  ),
  line("lists the home of the person", "person", ({ base }) => `ls ${base}/home && ${yes}`),
  line("lists the machine's /tmp", "person", () => `ls /tmp | grep -q kith-drivers && ${yes}`),
  line(
    "adds a key that may log in",
    "person",
    ({ base }) => `echo x >> ${base}/home/.ssh/authorized_keys && ${yes}`,
  ),
  line(
    "plants a line that the next login runs",
    "person",
    ({ base }) => `echo true >> ${base}/home/.profile && ${yes}`,
  ),
  line(
    "writes beside the shared folder",
    "person",
    ({ base }) => `echo x > ${base}/other/planted && ${yes}`,
  ),
  line("goes up with ..", "person", () => has("cat ../home/.ssh/id")),
  line("goes up with .. from /proc/self/cwd", "person", () =>
    has("cat /proc/self/cwd/../kith/keys/node.key"),
  ),
  line("follows a link out of the folder", "person", () => has("cat link")),
  line("follows a link to a folder outside", "person", () => has("cat up/home/.ssh/id")),
  line("makes a link of its own and reads it", "person", ({ base }) =>
    has(`ln -sf ${base}/kith/keys/node.key mine && cat mine`),
  ),
  line(
    "makes a link of its own and writes through it",
    "person",
    ({ base }) => `ln -sfn ${base}/other mine-too && echo x > mine-too/written && ${yes}`,
  ),
  line("makes a hard link to a file outside", "person", ({ base }) =>
    has(`ln -f ${base}/home/.ssh/id hard && cat hard`),
  ),
  line(
    "renames a file into another folder",
    "person",
    ({ base }) => `touch moving && mv moving ${base}/other/moved && ${yes}`,
  ),
  line("goes through /proc/1/root", "perhaps", ({ base }) =>
    has(`cat /proc/1/root${base}/home/.ssh/id`),
  ),
  line("goes through /proc/self/root", "person", ({ base }) =>
    has(`cat /proc/self/root${base}/home/.ssh/id`),
  ),
  line("goes through the root of a process outside", "person", ({ base, victim }) =>
    has(`cat /proc/${victim}/root${base}/home/.ssh/id`),
  ),
  line(
    "changes the system's programs",
    "root",
    () => `touch /usr/bin/kith-test && rm /usr/bin/kith-test && ${yes}`,
  ),
  line(
    "changes the system's settings",
    "root",
    () => `touch /etc/kith-test && rm /etc/kith-test && ${yes}`,
  ),
  line(
    "plants a job for cron",
    "root",
    () =>
      `mkdir -p /var/spool/cron && touch /var/spool/cron/kith-test && rm /var/spool/cron/kith-test && ${yes}`,
  ),
  line(
    "makes a file in the root of the file system",
    "root",
    () => `touch /kith-test && rm /kith-test && ${yes}`,
  ),
  line(
    "starts a set-user-id program of root",
    isRoot ? "person" : "perhaps",
    () => `./suid-id | grep -q euid= && ${yes}`,
  ),
  // Processes.
  line(
    "sends a signal to a process outside",
    "person",
    ({ victim }) => `kill -0 ${victim} && ${yes}`,
  ),
  line(
    "sees a process outside",
    "person",
    ({ victim }) => `grep -q sleep /proc/${victim}/cmdline && ${yes}`,
  ),
  line("reads the environment of a process outside", "person", ({ victim }) =>
    has(`cat /proc/${victim}/environ`),
  ),
  code(
    "traces a process outside",
    "root",
    ({ victim }) =>
      `import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.ptrace(0x4206, ${victim}, 0, 0) == 0`,
  ),
  code(
    "opens the memory of a process outside",
    isRoot ? "person" : "perhaps",
    ({ victim }) => `open("/proc/${victim}/mem", "rb").close()`,
  ),
  code(
    "changes the priority of a process outside",
    "person",
    ({ victim }) => `import os\nos.setpriority(os.PRIO_PROCESS, ${victim}, 5)`,
  ),
  line(
    "changes the bounds of a process outside",
    "person",
    ({ victim }) => `prlimit --pid ${victim} --core=0 && ${yes}`,
  ),
  line(
    "reads the environment of the agent",
    "person",
    () =>
      `{ env; cat /proc/*/environ; } 2>/dev/null | tr '\\0' '\\n' | grep -q KITH_CANARY && ${yes}`,
  ),
  code(
    "types into the terminal of the agent",
    "perhaps",
    () => `import fcntl, os\nfcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x")`,
  ),
  // Network and sockets.
  connect(
    "connects to a port of the loopback",
    "person",
    ({ tcp }) => `s = socket.create_connection(("127.0.0.1", ${tcp}), 3)`,
  ),
  connect(
    "asks a name server",
    "person",
    ({ udp }) =>
      `s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.sendto(b"kith.test", ("127.0.0.1", ${udp}))`,
  ),
  connect(
    "connects to an abstract socket",
    "person",
    ({ abstract }) => `s = socket.socket(socket.AF_UNIX); s.connect("\\0${abstract}")`,
  ),
  connect(
    "connects to the agent's node.sock",
    "person",
    ({ base }) => `s = socket.socket(socket.AF_UNIX); s.connect("${base}/kith/node.sock")`,
  ),
  connect(
    "connects to a socket in the shared folder",
    "person",
    () => `s = socket.socket(socket.AF_UNIX); s.connect("trap.sock")`,
  ),
  code(
    "makes a socket to the machine's host",
    "perhaps",
    () => `import socket\nsocket.socket(40, 1)`,
  ),
  code("makes a packet socket", "root", () => `import socket\nsocket.socket(17, 3)`),
  code("makes a raw socket", "root", () => `import socket\nsocket.socket(2, 3, 1)`),
  line("has a network card", "perhaps", () => `grep -v lo: /proc/net/dev | grep -q : && ${yes}`),
  line(
    "reaches the session bus",
    "perhaps",
    () => `{ ls /run/user/*/bus || test -S /run/dbus/system_bus_socket; } && ${yes}`,
  ),
  line(
    "reaches docker",
    "perhaps",
    () =>
      `{ test -S /var/run/docker.sock || test -S /run/docker.sock || test -S /run/containerd/containerd.sock; } && ${yes}`,
  ),
  // Rights of the system.
  line("mounts", "root", () => `unshare -m mount -t tmpfs none /mnt && ${yes}`),
  line(
    "makes the system's folders writable again",
    "root",
    () => `unshare -m mount -o remount,bind,rw / && ${yes}`,
  ),
  line("makes a user namespace of its own", "person", () => `unshare -U true && ${yes}`),
  line("makes a user namespace with all rights", "person", () => `unshare -Ur true && ${yes}`),
  line("enters the namespaces of process 1", "perhaps", () => `nsenter -t 1 -m true && ${yes}`),
  line("makes a device", "root", () => `rm -f node; mknod node c 1 1 && rm node && ${yes}`),
  code("changes its root", "root", () => `import os\nos.chroot(".")`),
  code("becomes another user", "root", () => `import os\nos.setgroups([]); os.setuid(1)`),
  code(
    "names the machine anew",
    "root",
    () => `import socket\nsocket.sethostname(socket.gethostname())`,
  ),
  // Not tried outside: it would work.
  code(
    "sets the clock",
    "not tried",
    () => `import time\ntime.clock_settime(time.CLOCK_REALTIME, time.time())`,
  ),
  code("runs before others", "root", () => `import os\nos.nice(-5)`),
  opens("changes what a crash starts (core_pattern)", "/proc/sys/kernel/core_pattern", "root"),
  opens("opens the magic keys of the kernel", "/proc/sysrq-trigger", "perhaps"),
  opens("changes /sys", "/sys/kernel/mm/transparent_hugepage/enabled", "perhaps"),
  opens("opens the machine's memory", "/dev/mem", "perhaps"),
  opens("writes to the kernel's log", "/dev/kmsg", "perhaps"),
  line(
    "sees a disk",
    "perhaps",
    () => `ls /dev | grep -qE '^(sd|vd|nvme|xvd|mmcblk|dm-)' && ${yes}`,
  ),
  call("opens the key ring of the session", 250, 219, "0, -3, 1"),
  call("adds a key to the person's ring", 248, 217, `b"user", b"kith", b"x", 1, -4`),
  call("makes an io_uring", 425, 425, "1, 0"),
  call("looks into the kernel by perf", 298, 241, "0, 0, -1, -1, 0"),
  call("loads a program into the kernel", 321, 280, "0, 0, 0"),
  call("handles page faults of its own", 323, 282, "0x80001"),
  code(
    "makes a socket by the numbers of x32",
    "perhaps",
    () => `import ctypes\nassert ctypes.CDLL(None).syscall(0x40000000 + 41, 1, 1, 0) >= 0`,
  ),
];
