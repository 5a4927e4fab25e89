// Writes down, in order, what a program asks of its disk below one folder, and what it answers on its sockets, so that
// `power` can say afterwards which bytes a power cut may have left. Loaded by LD_PRELOAD; SHIM_ROOT is the folder (real
// path), SHIM_LOG the file. It changes nothing that the program sees.
//
// One record: kind (1 byte), a and b (8 each), length of the name (2), length of the data (4), name, data. An answer is
// written down before it is sent and a change after it was made, so a cut between two records never knows less than a
// client did. A sync has two records: what came after its first may be missing although it has ended.
//
//   C create (a inode, name)   W write (a inode, b offset, data)   T truncate (a inode, b length)
//   B, E sync of a file begins, ends (a inode)   F, G the same of a folder (name)   D sync of a file failed (a inode)
//   M make folder, U unlink, X remove folder (name)   R rename (name, NUL, new name)
//   A answer (a port of the client, b status)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
  const char *folder = getenv("SHIM_ROOT"), *log = getenv("SHIM_LOG");
  if (!folder || !log || strlen(folder) >= sizeof root) return;
  strcpy(root, folder);
  root_len = strlen(root);
  log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void give_up(const char *why) {
  dprintf(2, "shim: %s\n", why);
  abort();
}

// The caller holds the lock where order matters.
static void note(char kind, uint64_t a, uint64_t b, const char *name, size_t name_len, const struct iovec *data, int n) {
  struct iovec parts[2 + 64];
  unsigned char head[23];
  size_t len = 0;
  if (n > 64) give_up("too many parts in one write");
  for (int i = 0; i < n; i++) len += data[i].iov_len;
  uint16_t short_len = (uint16_t)name_len;
  uint32_t data_len = (uint32_t)len;
  head[0] = (unsigned char)kind;
  memcpy(head + 1, &a, 8), memcpy(head + 9, &b, 8), memcpy(head + 17, &short_len, 2), memcpy(head + 19, &data_len, 4);
  parts[0] = (struct iovec){head, sizeof head};
  parts[1] = (struct iovec){(void *)name, name_len};
  if (n) memcpy(parts + 2, data, (size_t)n * sizeof *data);
  if (syscall(SYS_writev, log_fd, parts, 2 + n) != (long)(sizeof head + name_len + len)) give_up("the log cannot be written");
}

static void note_name(char kind, const char *name) { note(kind, 0, 0, name, strlen(name), NULL, 0); }

static int is_below(const char *path) {
  return log_fd >= 0 && strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == 0);
}

// What an open file is: 1 a file or folder below the root, 2 a socket, 0 anything else.
static int what(int fd, char *path) {
  char link[64];
  if (log_fd < 0 || fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  if (len < 0) return 0;
  path[len] = 0;
  if (is_below(path)) return 1;
  return strncmp(path, "socket:", 7) == 0 ? 2 : 0;
}

static uint64_t inode(int fd) {
  struct stat of;
  return fstat(fd, &of) == 0 ? (uint64_t)of.st_ino : 0;
}

// A path as the log has it: from the top, not through links.
static int full(int at, const char *path, char *out) {
  if (path[0] == '/') {
    snprintf(out, PATH_MAX, "%s", path);
  } else {
    char base[PATH_MAX], link[64];
    if (at == AT_FDCWD) {
      if (!getcwd(base, sizeof base)) return 0;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", at);
      ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
      if (len < 0) return 0;
      base[len] = 0;
    }
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
  }
  return is_below(out);
}

// ── opening ──

static int opened(int at, const char *path, int flags, mode_t mode) {
  char name[PATH_MAX];
  int is_new = 0, is_ours = log_fd >= 0 && (flags & (O_CREAT | O_TRUNC)) && full(at, path, name);
  if (log_fd >= 0 && (flags & O_TMPFILE) == O_TMPFILE && full(at, path, name)) give_up("a file without a name");
  if (!is_ours) return (int)syscall(SYS_openat, at, path, flags, mode);
  pthread_mutex_lock(&lock);
  struct stat before;
  is_new = (flags & O_CREAT) && fstatat(at, path, &before, AT_SYMLINK_NOFOLLOW) != 0;
  int fd = (int)syscall(SYS_openat, at, path, flags, mode);
  int error = errno;
  if (fd >= 0 && is_new) note('C', inode(fd), 0, name, strlen(name), NULL, 0);
  else if (fd >= 0 && (flags & O_TRUNC)) note('T', inode(fd), 0, "", 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

#define MODE \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return opened(at, path, flags | O_LARGEFILE, mode); }

// ── writing and answering ──

static void answer(int fd, const struct iovec *parts, int n) {
  if (n < 1 || parts[0].iov_len < 12 || memcmp(parts[0].iov_base, "HTTP/1.1 ", 9) != 0) return;
  struct sockaddr_in peer;
  socklen_t len = sizeof peer;
  if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0 || peer.sin_family != AF_INET) return;
  pthread_mutex_lock(&lock);
  note('A', ntohs(peer.sin_port), (uint64_t)atoi((const char *)parts[0].iov_base + 9), "", 0, NULL, 0);
  pthread_mutex_unlock(&lock);
}

// Writes at `at`, or where the file stands when `at` is negative.
static ssize_t written(int fd, const struct iovec *parts, int n, off_t at) {
  char path[PATH_MAX];
  int kind = what(fd, path);
  if (kind == 2) answer(fd, parts, n);
  if (kind != 1)
    return at < 0 ? syscall(SYS_writev, fd, parts, n) : syscall(SYS_pwritev, fd, parts, n, (unsigned long)at, 0UL);
  pthread_mutex_lock(&lock);
  int is_append = fcntl(fd, F_GETFL) & O_APPEND;
  off_t begin = at;
  if (at < 0) {
    struct stat now;
    begin = is_append && fstat(fd, &now) == 0 ? now.st_size : lseek(fd, 0, SEEK_CUR);
  }
  ssize_t done = at < 0 ? syscall(SYS_writev, fd, parts, n) : syscall(SYS_pwritev, fd, parts, n, (unsigned long)at, 0UL);
  int error = errno;
  if (done > 0) {
    struct iovec made[64];
    size_t left = (size_t)done;
    int used = 0;
    if (n > 64) give_up("too many parts in one write");
    for (; used < n && left > 0; used++) {
      made[used] = parts[used];
      if (made[used].iov_len > left) made[used].iov_len = left;
      left -= made[used].iov_len;
    }
    note('W', inode(fd), (uint64_t)begin, "", 0, made, used);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

ssize_t write(int fd, const void *data, size_t len) {
  struct iovec part = {(void *)data, len};
  return written(fd, &part, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int n) { return written(fd, parts, n, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
  struct iovec part = {(void *)data, len};
  return written(fd, &part, 1, at);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) { return pwrite(fd, data, len, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) { return written(fd, parts, n, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off_t at) { return written(fd, parts, n, at); }
ssize_t send(int fd, const void *data, size_t len, int flags) {
  struct iovec part = {(void *)data, len};
  if (log_fd >= 0) answer(fd, &part, 1);
  return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  if (log_fd >= 0) answer(fd, message->msg_iov, (int)message->msg_iovlen);
  return syscall(SYS_sendmsg, fd, message, flags);
}

static void refuse(int fd, const char *why) {
  char path[PATH_MAX];
  if (what(fd, path) == 1) give_up(why);
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t len, unsigned flags) {
  refuse(out, "copy_file_range");
  return syscall(SYS_copy_file_range, in, from, out, to, len, flags);
}
ssize_t sendfile64(int out, int in, off64_t *from, size_t len) {
  refuse(out, "sendfile");
  return syscall(SYS_sendfile, out, in, from, len);
}

// ── lengths ──

static int truncated(int fd, off_t len) {
  char path[PATH_MAX];
  int is_ours = what(fd, path) == 1;
  pthread_mutex_lock(&lock);
  int done = (int)syscall(SYS_ftruncate, fd, len), error = errno;
  if (done == 0 && is_ours) note('T', inode(fd), (uint64_t)len, "", 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}
int ftruncate(int fd, off_t len) { return truncated(fd, len); }
int ftruncate64(int fd, off_t len) { return truncated(fd, len); }
int fallocate(int fd, int mode, off_t at, off_t len) {
  refuse(fd, "fallocate");
  return (int)syscall(SYS_fallocate, fd, mode, at, len);
}
int fallocate64(int fd, int mode, off_t at, off_t len) { return fallocate(fd, mode, at, len); }
int posix_fallocate(int fd, off_t at, off_t len) { return fallocate(fd, 0, at, len) ? errno : 0; }
int posix_fallocate64(int fd, off_t at, off_t len) { return posix_fallocate(fd, at, len); }

// ── syncs ──

static int synced(int fd, long call) {
  char path[PATH_MAX];
  struct stat of;
  if (what(fd, path) != 1 || fstat(fd, &of) != 0) return (int)syscall(call, fd);
  int is_folder = S_ISDIR(of.st_mode);
  pthread_mutex_lock(&lock);
  if (is_folder) note_name('F', path);
  else note('B', (uint64_t)of.st_ino, 0, "", 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  int done = (int)syscall(call, fd), error = errno;
  pthread_mutex_lock(&lock);
  if (done == 0 && is_folder) note_name('G', path);
  else if (done == 0) note('E', (uint64_t)of.st_ino, 0, "", 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}
// Another shim (`faults.c`) let a sync of this file fail.
void shim_dropped(int fd) {
  char path[PATH_MAX];
  struct stat of;
  if (what(fd, path) != 1 || fstat(fd, &of) != 0 || S_ISDIR(of.st_mode)) return;
  pthread_mutex_lock(&lock);
  note('D', (uint64_t)of.st_ino, 0, "", 0, NULL, 0);
  pthread_mutex_unlock(&lock);
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

// ── names ──

static int renamed(int at, const char *from, int to_at, const char *to, unsigned flags) {
  char old[PATH_MAX], new[PATH_MAX], both[2 * PATH_MAX];
  int is_ours = log_fd >= 0 && full(at, from, old) + full(to_at, to, new) == 2;
  pthread_mutex_lock(&lock);
  int done = (int)syscall(SYS_renameat2, at, from, to_at, to, flags), error = errno;
  if (done == 0 && is_ours) {
    size_t len = strlen(old) + 1;
    memcpy(both, old, len), strcpy(both + len, new);
    note('R', 0, 0, both, len + strlen(new), NULL, 0);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int at, const char *from, int to_at, const char *to) { return renamed(at, from, to_at, to, 0); }
int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags) { return renamed(at, from, to_at, to, flags); }

static int removed(int at, const char *path, int flags) {
  char name[PATH_MAX];
  int is_ours = log_fd >= 0 && full(at, path, name);
  pthread_mutex_lock(&lock);
  int done = (int)syscall(SYS_unlinkat, at, path, flags), error = errno;
  if (done == 0 && is_ours) note_name(flags & AT_REMOVEDIR ? 'X' : 'U', name);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int at, const char *path, mode_t mode) {
  char name[PATH_MAX];
  int is_ours = log_fd >= 0 && full(at, path, name);
  pthread_mutex_lock(&lock);
  int done = (int)syscall(SYS_mkdirat, at, path, mode), error = errno;
  if (done == 0 && is_ours) note_name('M', name);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return made(at, path, mode); }

int link(const char *from, const char *to) {
  char name[PATH_MAX];
  if (log_fd >= 0 && full(AT_FDCWD, to, name)) give_up("link");
  return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int linkat(int at, const char *from, int to_at, const char *to, int flags) {
  char name[PATH_MAX];
  if (log_fd >= 0 && full(to_at, to, name)) give_up("linkat");
  return (int)syscall(SYS_linkat, at, from, to_at, to, flags);
}
